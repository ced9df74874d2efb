"""A process that runs one command of `rerank` after the other in a folder. It is started again if it ends."""

import asyncio
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from support.command_lines import COMMAND, CommandLine, Outcome, as_line, outcome_of, variables

_SECONDS = 60.0
"""Maximum time of a command. Each one has a few rows to read."""
_MAX_LINE_BYTES = 2**26


class CommandEnded(Exception):
    """The process has ended during a command, or the command takes too long."""


class CommandProcess:
    """The process. Used for one command at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: Process | None = None

    async def run(self, *arguments: str) -> Outcome:
        """Run a command, and return how it ended.

        Raises:
            CommandEnded: it did not end by itself.
        """
        process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(as_line(CommandLine(arguments)).encode())
        try:
            async with asyncio.timeout(_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError as error:
            await self.stop()
            raise CommandEnded(f"it takes more than {_SECONDS:g} s") from error
        if not line:
            self._process = None
            raise CommandEnded(f"the process ended with status {await process.wait()}")
        return outcome_of(line)

    async def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.wait()

    async def _start(self) -> Process:
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND, cwd=self.folder, env=variables(), stdin=PIPE, stdout=PIPE, limit=_MAX_LINE_BYTES
        )
        return self._process

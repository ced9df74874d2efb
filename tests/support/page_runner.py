"""Run the steps of a page, each page in a process of its own.

`python -m support.page_runner` imports large packages once, and forks for each page: an import of the SDKs takes
seconds. It reads a page as a line of JSON from standard input, and writes the results of its steps as a line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from support.process import environment

_PRELOADED = ("cohere", "grpc", "httpx", "numpy", "rerank.client", "rerank_service.__main__", "together")


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a page: Python code, a command line of `rerank`, a command for bash, or a file to save."""

    kind: Literal["python", "rerank", "bash", "file"]
    text: str
    arguments: Sequence[str] = ()
    """Arguments of `rerank`."""
    name: str = ""
    """Name of the file."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a step."""

    status: int
    output: str
    """Standard output and standard error."""


@dataclass(frozen=True, slots=True)
class PageRun:
    """The steps of a page, and the folder in which they run."""

    folder: str
    steps: Sequence[Step]


class PageRunner:
    """A process that runs pages."""

    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        """Use a process that `started_runner` has started."""
        self._popen = popen

    def run(self, page: PageRun) -> list[Result]:
        """Run the steps of a page, up to the first one that fails."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        print(json.dumps(asdict(page)), file=self._popen.stdin, flush=True)
        return [Result(**result) for result in json.loads(self._popen.stdout.readline())]


@contextmanager
def started_runner() -> Iterator[PageRunner]:
    """Start the process, and end it after the block."""
    variables = environment(PYTHONPATH=str(Path(__file__).parents[1]), COLUMNS="80")  # pages show a terminal
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    command = [sys.executable, "-m", "support.page_runner"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=variables) as popen:
        yield PageRunner(popen)
        assert popen.stdin is not None
        popen.stdin.close()


def _run_page(page: PageRun) -> list[Result]:
    os.chdir(page.folder)
    sys.path.insert(0, page.folder)
    results: list[Result] = []
    names: dict[str, Any] = {"__name__": "__main__"}
    for step in page.steps:
        results.append(_run_step(step, names))
        if results[-1].status != 0:
            break
    return results


def _run_step(step: Step, names: dict[str, Any]) -> Result:
    if step.kind == "file":
        Path(step.name).write_text(step.text, encoding="utf-8")
        return Result(0, "")
    if step.kind == "bash":
        done = subprocess.run(
            ["bash", "-c", step.text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
        )
        return Result(done.returncode, done.stdout)
    if step.kind == "rerank":
        from rerank_service import __main__ as entry

        return _captured(lambda: entry._main(list(step.arguments)))
    return _captured(lambda: exec(compile(step.text, "<page>", "exec"), names))


def _captured(run: Callable[[], int | None]) -> Result:
    """Run a function, and return its status with all that it writes, also by native code."""
    with tempfile.TemporaryFile("w+") as written:
        kept = [os.dup(1), os.dup(2)]
        os.dup2(written.fileno(), 1)
        os.dup2(written.fileno(), 2)
        try:
            status = run() or 0
        except SystemExit as error:
            status = int(error.code or 0)
        except Exception:  # noqa: BLE001 - any error of a page is its result
            traceback.print_exc()
            status = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
        written.seek(0)
        return Result(status, written.read())


def _serve() -> None:
    for name in _PRELOADED:
        __import__(name)
    for line in sys.stdin:
        values = json.loads(line)
        page = PageRun(values["folder"], [Step(**step) for step in values["steps"]])
        if (child := os.fork()) == 0:
            print(json.dumps([asdict(result) for result in _run_page(page)]), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            print(json.dumps([asdict(Result(1, "the process of the page ended"))]), flush=True)


if __name__ == "__main__":
    _serve()

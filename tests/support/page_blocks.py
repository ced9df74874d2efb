"""Fenced blocks of code in the pages of the repository."""

import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^(?P<margin> *)(?P<fence>```+)(?P<info>[^`\n]*)\n(?P<text>.*?)^ *(?P=fence)`* *$", re.MULTILINE | re.DOTALL
)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    """Line of the opening fence, from 1."""
    language: str
    title: str
    """Name of the file that a reader saves the block in, or ""."""
    text: str

    def __str__(self) -> str:
        """Return the place of the block."""
        return f"{self.page}:{self.line}"


def all_pages() -> list[str]:
    """Return the Markdown pages of the repository, also those that git does not know yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sorted(page for page in listed.stdout.splitlines() if (ROOT / page).exists())


def blocks(page: str) -> Iterator[Block]:
    """Return the blocks of a page, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        language, _, options = found["info"].strip().partition(" ")
        language = {"py": "python", "shell": "sh"}.get(language, language)
        title = _TITLE.search(options)
        yield Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            language,
            title[1] if title else "",
            textwrap.dedent(found["text"]),
        )


def shell_commands(text: str) -> list[str]:
    """Return the commands of a block of shell code. Line ends in quotes and after a backslash are part of a command."""
    commands, pending = [], ""
    for line in text.splitlines():
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quote is still open
            pending += "\n"
            continue
        if words:
            commands.append(pending.strip())
        pending = ""
    return commands


def console_commands(text: str) -> list[str]:
    """Return the commands of a block with commands and their output: the lines after a prompt."""
    return shell_commands("\n".join(line[2:] for line in text.splitlines() if line.startswith("$ ")))


def programs(command: str) -> Iterator[list[str]]:
    """Return the words of each program of a command, without variables before it. Those after ` -- ` count, too."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    program: list[str] = []
    for word in [*lexer, ";"]:
        if not re.fullmatch(r"[|&;()]+|--", word):
            program.append(word)
            continue
        while program and re.match(r"[A-Za-z_]\w*=", program[0]):
            del program[0]
        if program:
            yield [Path(program[0]).name, *program[1:]]
        program = []

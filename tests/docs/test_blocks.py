"""Every block of code in the pages runs, or is parsed for a reason that support/page_exceptions.py gives."""

import argparse
import configparser
import json
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml

from rerank_service.__main__ import build_parser, commands
from support.page_blocks import ROOT, Block, all_pages, blocks, console_commands, programs, shell_commands
from support.page_exceptions import COMMANDS, OPTIONAL, PAGES, PROGRAMS, PYTHON
from support.page_runner import PageRun, PageRunner, Result, Step
from support.page_sandbox import Server

_SHELL = ("sh", "bash")
_TEXT = ("", "text", "mermaid", "dockerfile", "nginx")
"""Languages of blocks that nothing parses here: output, diagrams and the like."""
_REQUEST = re.compile(r"^(?:GET|PUT|POST|DELETE) \S+$", re.MULTILINE)
"""The line above the body of a request, as the consoles of search engines have it."""
_BLOCKS = [block for page in all_pages() for block in blocks(page)]
_PRELUDE = """
from rerank.client import RerankClient
query, documents = "capital of France", ["Rome is in Italy.", "Paris is in France."]
contracts = ["The notice period is three months. " * 100, "The rent is due on the first day of a month. " * 100]
"""
"""Names that pages use without defining them."""
_PRELUDES = {
    "docs/replicas.md": "import cohere\nclient = cohere.ClientV2(api_key='any', base_url='http://127.0.0.1:8080')\n"
}
_PRINTED = {
    ("README.md", "from rerank.client"): r"1 0\.\d",
    ("README.md", "import cohere"): r"index=1,",
    ("docs/python.md", "error.field"): r"(?m)^top_n top_n must be at least 0, not -1$",
    ("docs/python.md", "scores.ranking"): r"(?m)^1000 scores; best: ",
    ("docs/how-to/move.md", "import cohere"): r"1\n",
    ("docs/how-to/move.md", "import together"): r"0\n",
    ("docs/how-to/move.md", "jina"): r"Paris is in France\.\n",
    ("docs/how-to/search-engines.md", "def rerank"): r"\[\{'id': 9,",
    ("docs/how-to/search-engines.md", "import sqlite3"): r"\[\('Paris',",
    ("docs/how-to/search-engines.md", "by_words ="): r"\[9, ",
}
"""Patterns of the output of blocks: the page, a part of the block, and the beginning of the output or a part of it."""


def _named(block: Block, table: dict[tuple[str, str], str]) -> str | None:
    """Return the entry of a block in a table."""
    return next((entry for (page, part), entry in table.items() if page == block.page and part in block.text), None)


def _commands(block: Block) -> list[str]:
    return shell_commands(block.text) if block.language in _SHELL else console_commands(block.text)


def _reason(command: str) -> str | None:
    """Return the reason why a command is not run."""
    if "…" in command or re.search(r"<\w+>", command):
        return "has a placeholder"
    words = [" ".join(program) for program in programs(command)]
    listed = [reason for start, reason in COMMANDS.items() if any(word.startswith(start) for word in words)]
    listed += [
        "is not installed" for word in words if word.split()[0] in OPTIONAL and not shutil.which(word.split()[0])
    ]
    listed += [PROGRAMS[program] for word in words if (program := word.split()[0]) in PROGRAMS]
    return listed[0] if listed else None


def _steps(block: Block) -> list[tuple[Block, Step]]:
    """Return the steps of a block that are run."""
    if block.page in PAGES:
        return []
    if block.language == "python" and _named(block, PYTHON) is None:
        step = Step("file", block.text, name=block.title) if block.title else Step("python", block.text)
        return [(block, step)]
    if block.language not in _SHELL:
        return []
    return [(block, _step(command)) for command in _commands(block) if _reason(command) is None]


def _step(command: str) -> Step:
    """Return the step of a command. `rerank` without features of the shell runs without a process of its own."""
    command = re.sub(r"\.venv[\w-]*/bin/", "", command)
    found = list(programs(command))
    if len(found) == 1 and found[0][0] == "rerank" and command.startswith("rerank "):
        return Step("rerank", command, found[0][1:])
    return Step("bash", command)


_RUN = {page: steps for page in all_pages() if (steps := [step for block in blocks(page) for step in _steps(block)])}


@pytest.mark.parametrize("page", _RUN)
def test_page_runs_from_top_to_bottom(page: str, server: Server, runner: PageRunner, sandbox: Path) -> None:
    """Run the blocks of a page in their order. Only the addresses differ."""
    prelude = Step("python", server.addressed(_PRELUDE + _PRELUDES.get(page, "")))
    steps = [_addressed(step, server) for _, step in _RUN[page]]
    results = runner.run(PageRun(str(sandbox), [prelude, *steps]))[1:]
    for (block, step), result in zip(_RUN[page], results, strict=False):
        assert result.status == 0, f"{block}: {step.text}\n{result.output}"
        expected = _named(block, _PRINTED)
        assert expected is None or re.search(expected, result.output), f"{block}: {result.output}"
    assert len(results) == len(steps)
    if page == "docs/tutorial/index.md":
        _check_gain(sandbox, dict(zip([step.text for _, step in _RUN[page]], results, strict=True)))


def _addressed(step: Step, server: Server) -> Step:
    """Return a step with the addresses of the server. A client command without an address gets it, too."""
    arguments = [server.addressed(word) for word in step.arguments]
    if arguments[:1] in (["rank"], ["models"]) and "--server" not in arguments:
        arguments += ["--server", server.grpc]
    text = server.addressed(step.text)
    return Step(
        step.kind, f"export RERANK_SERVER={server.grpc}\n{text}" if step.kind == "bash" else text, arguments, step.name
    )


def _check_gain(folder: Path, results: dict[str, Result]) -> None:
    """The tutorial shows a gain: in its example, in the mean of its queries, and a greater one with all candidates."""
    assert "reranked: ['Nobody was at home'" in results["python rerank_one.py"].output
    [collection] = json.loads((folder / "figures.json").read_text())["collections"]
    assert collection["after"]["ndcg@10"] > collection["before"]["ndcg@10"] + 0.05
    assert collection["queries_without_candidates"] == 1
    [everything] = [
        float(re.findall(r"→(\d\.\d+)", result.output)[0])
        for text, result in results.items()
        if "--candidates all.trec" in text
    ]
    assert everything > collection["after"]["ndcg@10"] + 0.2


@pytest.mark.parametrize("block", _BLOCKS, ids=str)
def test_block_is_well_formed(block: Block) -> None:
    """Parse a block in its language. A block of another language needs a parser here."""
    if block.language in (*_SHELL, "console"):
        _check_shell(block)
    elif block.language == "python":
        compile(block.text, str(block), "exec")
    elif block.language in ("json", "jsonl"):
        for text in block.text.splitlines() if block.language == "jsonl" else _REQUEST.split(block.text):
            json.loads(text or "null")
    elif block.language == "yaml":
        list(yaml.safe_load_all(block.text))
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "ini":
        configparser.ConfigParser().read_string(block.text)
    else:
        assert block.language in _TEXT, f"{block.language}: parse it here, or add it to _TEXT"


def _check_shell(block: Block) -> None:
    if block.language != "console":
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for command in _commands(block):
        for program, *words in programs(command):
            if program == "rerank":
                _check_options(words)
            elif program == "make":
                _check_make(words)


def _check_options(words: list[str]) -> None:
    """Parse a command line of `rerank`, as the command does. Placeholders are values."""
    status: object = 0
    try:
        _parser().parse_args(words)
    except SystemExit as end:  # also for --version
        status = end.code
    assert not status, words


@cache
def _parser() -> argparse.ArgumentParser:
    return build_parser(commands())


def _check_make(words: list[str]) -> None:
    """Targets and variables are those of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, equals, _ = word.partition("=")
        pattern = rf"\b{name}\b" if equals else rf"^{re.escape(name)}:"
        assert re.search(pattern, makefile, re.MULTILINE), word


def test_exceptions_are_needed() -> None:
    """An entry that fits no block is out of date."""
    written = [command for block in _BLOCKS if block.language in (*_SHELL, "console") for command in _commands(block)]
    words = [" ".join(program) for command in written for program in programs(command)]
    assert not [start for start in COMMANDS if not any(word.startswith(start) for word in words)]
    for table in (PYTHON, _PRINTED):
        python = [block for block in _BLOCKS if block.language == "python"]
        assert not [key for key in table if not any(_named(block, {key: "used"}) for block in python)]
    assert set(PAGES) <= {block.page for block in _BLOCKS}

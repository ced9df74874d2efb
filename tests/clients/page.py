"""The table of docs/clients.md, made from the records that tests left."""

import difflib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from clients import pairs, records
from clients.records import Record

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "clients.md"
RECORDS = HERE / "records.jsonl"
GOLDEN = HERE / "golden"
_BEGIN = "<!-- made from tests/clients/records.jsonl by make docs -->\n"
_END = "<!-- end of what is made -->\n"


def table(its: list[Record]) -> str:
    """A row for each line that makes a client, with the versions in which it does."""
    versions: dict[Record, list[str]] = {}
    for one in its:
        versions.setdefault(replace(one, version=""), []).append(one.version)
    head = "| client | version | language | dialect | made by | what differs |\n|---|---|---|---|---|---|\n"
    return head + "".join(
        _row(one, sorted(tested, key=_natural)) for one, tested in sorted(versions.items(), key=_order)
    )


def _order(row: tuple[Record, list[str]]) -> tuple[Any, ...]:
    """By language and name, the newest first."""
    one, tested = row
    newest = max(map(_natural, tested))
    return one.language, one.client.lower(), [-number for number in newest], one.dialect, one.constructor


def _natural(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _row(one: Record, tested: list[str]) -> str:
    told = (one.client, ", ".join(tested), one.language, one.dialect, _code(one.constructor), one.note)
    return f"| {' | '.join(told)} |\n"


def _code(line: str) -> str:
    return f"`{line.replace('|', chr(92) + '|')}`" if line else ""


def made(page: str, its: list[Record]) -> str:
    """The page with its table made anew; all else is written by hand."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table(its)}\n{_END}{after}"


def keep(recorded: Path) -> None:
    """Take records, pairs and the page from a folder that tests wrote."""
    its = records.read(recorded / "records.jsonl")
    RECORDS.write_text("".join(f"{records.as_line(one)}\n" for one in its), encoding="utf-8")
    pairs.write(GOLDEN, pairs.by_client(recorded / "calls.jsonl"))
    write()


def write() -> None:
    """Make the page's table anew."""
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8"), records.read(RECORDS)), encoding="utf-8")


def compare(recorded: Path) -> int:
    """0 when the records are those that are kept; else 1, and they are told."""
    kept, now = (
        [f"{records.as_line(one)}\n" for one in records.read(file)] for file in (RECORDS, recorded / "records.jsonl")
    )
    differ = list(difflib.unified_diff(kept, now, "kept", "now", n=0))
    if differ:
        print("what the tests recorded is not what is kept: make test-clients KEEP=1, and look at the change")
        print("".join(differ))
    return 1 if differ else 0


if __name__ == "__main__":
    write()

"""The table of tested clients in docs/clients.md, made from the records and golden pairs of `make test-clients`."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clients import golden_pairs, records
from clients.records import Record

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "clients.md"
README = HERE.parents[1] / "README.md"
RECORDS = HERE / "records.jsonl"
GOLDEN = HERE / "golden"
_BEGIN = "<!-- made from tests/clients/records.jsonl by make docs -->\n"
_END = "<!-- end of the generated table -->\n"
_HEAD = "| client | versions | language | dialect | setup line | errors | notes |\n|---|---|---|---|---|---|---|\n"
_BAD_REQUEST = 400
"""Lowest status of an error."""
_COUNT = re.compile(r"\[\d+ (?=tested clients\]\(docs/clients\.md#tested-clients\))")
_PARTIAL = re.compile(r"\bpartial\(([\w.]+), (.*)\)$")


def table(tested_setups: list[Record], golden: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """Return one row for each setup line, with all versions in which it was tested, and the statuses of their errors.

    `golden`: the golden pairs by client and version (golden_pairs.py).
    """
    versions: dict[Record, list[str]] = {}
    for record in tested_setups:
        versions.setdefault(replace(record, version=""), []).append(record.version)
    rows = sorted(versions.items(), key=_order)
    return _HEAD + "".join(
        _row(record, sorted(tested, key=_natural), sorted(_errors(record, tested, golden))) for record, tested in rows
    )


def _errors(record: Record, tested: Iterable[str], golden: Mapping[str, Iterable[Mapping[str, Any]]]) -> set[int]:
    """Return the statuses of errors that the versions of a client were tested with. gRPC calls have no HTTP status."""
    clients = (golden_pairs.client_of(replace(record, version=version)) for version in tested)
    names = map(golden_pairs.file_name, clients)
    statuses = {int(pair["answer"]["status"]) for name in names for pair in golden.get(name, ())}
    return {status for status in statuses if status >= _BAD_REQUEST}


def setup_line(record: Record) -> str:
    """Return a record's line as a user writes it: a call that the test binds with `partial` is shown as the call."""
    return _PARTIAL.sub(r"\1(\2, …)", record.constructor)


def _order(row: tuple[Record, list[str]]) -> tuple[Any, ...]:
    """Sort by language and name, the newest version first."""
    record, tested = row
    newest = max(map(_natural, tested))
    return record.language, record.client.lower(), [-number for number in newest], record.dialect, record.constructor


def _natural(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _row(record: Record, tested: list[str], errors: list[int]) -> str:
    line, statuses = _code(setup_line(record)), ", ".join(map(str, errors))
    cells = (record.client, ", ".join(tested), record.language, record.dialect, line, statuses, record.note)
    return f"| {' | '.join(cells)} |\n"


def _code(line: str) -> str:
    return f"`{line.replace('|', chr(92) + '|')}`" if line else ""


def clients(tested_setups: list[Record]) -> set[str]:
    """Return the names of all clients. Names such as `Dify, TEI` are of one application."""
    return {record.client.partition(", ")[0] for record in tested_setups}


def counted(readme: str, tested_setups: list[Record]) -> str:
    """Return the README with the number of tested clients."""
    text, found = _COUNT.subn(f"[{len(clients(tested_setups))} ", readme)
    if found != 1:
        raise ValueError(
            f"README.md names the number of tested clients {found} times: name it once, as [N tested clients]"
        )
    return text


def made(page: str, tested_setups: list[Record], golden: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """Return the page with a new table. All other text is written by hand and stays."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table(tested_setups, golden)}\n{_END}{after}"


def keep(recorded: Path) -> None:
    """Copy records and golden pairs from the folder of a test run, and update the page."""
    new = records.read(recorded / "records.jsonl")
    RECORDS.write_text("".join(f"{records.as_line(record)}\n" for record in new), encoding="utf-8")
    golden_pairs.write(GOLDEN, golden_pairs.by_client(recorded / "calls.jsonl"))
    write()


def write() -> None:
    """Write the page with a new table, and the README with the number of clients."""
    tested_setups = records.read(RECORDS)
    golden = golden_pairs.read(GOLDEN)
    _renew(PAGE, lambda page: made(page, tested_setups, golden))
    _renew(README, lambda readme: counted(readme, tested_setups))


def _renew(file: Path, change: Callable[[str], str]) -> None:
    """Change a file. Without a difference it stays untouched: tests may read it at the same time (make -j check)."""
    old = file.read_text(encoding="utf-8")
    if (new := change(old)) != old:
        file.write_text(new, encoding="utf-8")


def compare(recorded: Path) -> int:
    """Return 0 if a run's records equal the committed ones. Otherwise print the difference and return 1."""
    committed, new = (
        [f"{records.as_line(record)}\n" for record in records.read(file)]
        for file in (RECORDS, recorded / "records.jsonl")
    )
    differ = list(difflib.unified_diff(committed, new, "committed", "new", n=0))
    if differ:
        print("The new records differ from the committed ones. Run `make test-clients KEEP=1`, and review the change.")
        print("".join(differ))
    return 1 if differ else 0


if __name__ == "__main__":
    write()

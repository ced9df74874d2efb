"""What a test knows of the client it runs: a row of docs/clients.md."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "CLIENTS_RECORD"
"""The variable that names the JSON-lines file which tests add their records to."""


@dataclass(frozen=True, order=True, slots=True)
class Record:
    """A client that was run."""

    language: str
    client: str
    version: str
    dialect: str
    constructor: str
    """The line by which a test made it; H is the server's root, k the key, M the model."""
    note: str = ""
    """What differs, if anything."""


def add(records: Iterable[Record]) -> None:
    """Write records where the variable says; nowhere without it."""
    if target := os.environ.get(FILE):
        with Path(target).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in map(as_line, records))


def read(file: Path) -> list[Record]:
    """The records of a file, each once, in order."""
    return sorted({Record(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()})


def as_line(record: Record) -> str:
    """A record as JSON."""
    return json.dumps(asdict(record), ensure_ascii=False)

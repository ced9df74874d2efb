"""Records of tested clients: the rows of the table in docs/clients.md."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "CLIENTS_RECORD"
"""Environment variable with the path of the JSON-lines file to which tests append their records."""


@dataclass(frozen=True, order=True, slots=True, kw_only=True)
class Record:
    """A tested client and its setup line."""

    language: str
    client: str
    version: str
    dialect: str
    constructor: str
    """Setup line of the client. H is the root URL of the server, k the key, M the model."""
    note: str = ""
    """Differences to other clients; may be empty."""


def add(records: Iterable[Record]) -> None:
    """Append records to the file of the variable, if it is set."""
    if target := os.environ.get(FILE):
        with Path(target).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in map(as_line, records))


def read(file: Path) -> list[Record]:
    """Return the records of a file, each once, in order."""
    return sorted({Record(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()})


def as_line(record: Record) -> str:
    """Return a record as JSON."""
    return json.dumps(asdict(record), ensure_ascii=False)

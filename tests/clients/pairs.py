"""What clients sent and got, kept as golden files: a change that breaks a client is seen without its environment."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clients.front import Call
from clients.records import Record

FILE = "CLIENTS_CALLS"
"""The variable that names the JSON-lines file which tests add their calls to."""

_SENT = ("accept", "api-key", "authorization", "content-type", "x-api-key")
_GOT = ("content-type", "retry-after")
_NAMES = {"id", "request_id"}
_TIMES = {"created"}


def add(record: Record, calls: Iterable[Call]) -> None:
    """Write the calls of a client where the variable says; nowhere without it."""
    if target := os.environ.get(FILE):
        client = f"{record.language} {record.client} {record.version}"
        with Path(target).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps({'client': client, **asdict(call)})}\n" for call in calls)


def pair(call: Mapping[str, Any]) -> dict[str, Any]:
    """A request and its answer without what differs from run to run."""
    return {
        "server": call["server"],
        "request": {
            "method": call["method"],
            "path": call["path"],
            "headers": _only(call["sent_headers"], _SENT),
            "body": json.loads(call["sent"]) if call["sent"] else None,
        },
        "answer": {
            "status": call["status"],
            "headers": told(call["headers"]),
            "body": normal(json.loads(call["body"])) if call["body"] else None,
        },
    }


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """Of an answer's headers those that clients look at."""
    return _only(headers, _GOT)


def _only(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def normal(value: Any, key: str = "") -> Any:
    """JSON without ids, times and scores."""
    if isinstance(value, dict):
        return {name: normal(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [normal(one) for one in value]
    if isinstance(value, float):
        return 0.0
    if key in _NAMES and isinstance(value, str):
        return "id"
    return 0 if key in _TIMES else value


def shape(value: Any, key: str = "") -> Any:
    """JSON with types in the place of values, but for what a parser compares: the order of results and `object`."""
    if isinstance(value, dict):
        return {name: shape(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return value if key in {"index", "object", "model_type"} else type(value).__name__


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The golden pairs by client."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def by_client(file: Path) -> dict[str, list[dict[str, Any]]]:
    """What tests wrote, each request once, by the names of their golden files."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        one = pair(call)
        name = re.sub(r"[^a-z0-9.]+", "-", call["client"].lower()).strip("-")
        found.setdefault(name, {})[json.dumps([one["server"], one["request"]], sort_keys=True)] = one
    return {name: [its[key] for key in sorted(its)] for name, its in sorted(found.items())}


def write(folder: Path, pairs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Keep them in a folder's golden files, and no others."""
    for file in folder.glob("*.json"):
        file.unlink()
    for name, its in pairs.items():
        (folder / f"{name}.json").write_text(f"{json.dumps(its, indent=1, ensure_ascii=False)}\n", encoding="utf-8")

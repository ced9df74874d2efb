"""Requests of real clients and their responses, stored in golden files. Replaying them finds a change that breaks a
client, without the client's environment."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clients.recording_proxy import Call
from clients.records import Record

FILE = "CLIENTS_CALLS"
"""Environment variable with the path of the JSON-lines file to which tests append their calls."""

_REQUEST_HEADERS = (
    "accept",
    "api-key",
    "authorization",
    "content-type",
    "x-amz-security-token",
    "x-api-key",
    "x-request-timeout",
)
_RESPONSE_HEADERS = ("content-type", "retry-after", "x-amzn-errortype")
_SIGNATURE = re.compile(r"(AWS4-HMAC-SHA256) .*")
"""An AWS signature. It differs from run to run, and the server does not check it."""
_NAMES = {"id", "request_id", "trace", "created_at"}
_TIMES = {"created", "runtime_ms"}


def add(record: Record, calls: Iterable[Call]) -> None:
    """Append the calls of a client to the file of the variable, if it is set."""
    if target := os.environ.get(FILE):
        client = client_of(record)
        with Path(target).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps({'client': client, **asdict(call)})}\n" for call in calls)


def pair(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request and its response, without parts that differ from run to run."""
    return {
        "server": call["server"],
        "request": {
            "method": call["method"],
            "path": call["path"],
            "headers": request_headers(call["sent_headers"]),
            "body": json.loads(call["sent"]) if call["sent"] else None,
        },
        "answer": {
            "status": call["status"],
            "headers": response_headers(call["headers"]),
            "body": normal(json.loads(call["body"])) if call["body"] else None,
        },
    }


def request_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the request headers that the server reads, without AWS signatures."""
    return {name: _SIGNATURE.sub(r"\1", value) for name, value in _only(headers, _REQUEST_HEADERS).items()}


def response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the response headers that clients read."""
    return _only(headers, _RESPONSE_HEADERS)


def _only(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def normal(value: Any, key: str = "") -> Any:
    """Return JSON with ids, times and scores replaced by constants."""
    if isinstance(value, dict):
        return {name: normal(field, name) for name, field in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, float):
        return 0.0
    if key in _NAMES and isinstance(value, str):
        return "id"
    return 0 if key in _TIMES else value


def shape(value: Any, key: str = "") -> Any:
    """Return JSON with types instead of values, except for values that parsers compare: indexes and `object`."""
    if isinstance(value, dict):
        return {name: shape(field, name) for name, field in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return value if key in {"index", "object", "model_type"} else type(value).__name__


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the golden pairs by client."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def by_client(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the pairs of a test run, each request once, by the name of their golden file."""
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        golden = pair(call)
        name = file_name(call["client"])
        key = json.dumps([golden["server"], golden["request"]], sort_keys=True)
        by_name.setdefault(name, {})[key] = golden
    return {name: [pairs[key] for key in sorted(pairs)] for name, pairs in sorted(by_name.items())}


def client_of(record: Record) -> str:
    """Return the client of a record, as its calls name it."""
    return f"{record.language} {record.client} {record.version}"


def file_name(client: str) -> str:
    """Return the name of the golden file of a client, without its ending."""
    return re.sub(r"[^a-z0-9.]+", "-", client.lower()).strip("-")


def write(folder: Path, pairs: Mapping[str, list[dict[str, Any]]]) -> None:
    """Replace the golden files of a folder."""
    for file in folder.glob("*.json"):
        file.unlink()
    for name, of_client in pairs.items():
        (folder / f"{name}.json").write_text(
            f"{json.dumps(of_client, indent=1, ensure_ascii=False)}\n", encoding="utf-8"
        )

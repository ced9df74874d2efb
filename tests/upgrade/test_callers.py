"""Callers of an earlier version get the same responses: by REST, generated stubs, its Python client and this client."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from rerank_service.__main__ import build_parser, commands
from support.process import Process, environment
from upgrade.comparison import differences
from upgrade.recorded import CLIENT, DESCRIPTORS, RESPONSES, SURFACE
from upgrade.recorder.client_calls import client_results
from upgrade.recorder.grpc_calls import grpc_responses
from upgrade.recorder.rest_calls import DOCUMENTS, KEY, QUERY, rest_responses, status_of

_TESTS = Path(__file__).parents[1]
_CORRECTED = {"voyage.body.object was 'rerank' and is 'list'"}
"""Responses that were wrong for the clients of that service (docs/operations.md, "From version 0.1.0")."""


def _compare(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [line for name in recorded for line in differences(recorded[name], now[name], name)]
    assert not set(changed) - _CORRECTED, "\n".join(changed)


def test_rest_responses_are_the_same(server: Process) -> None:
    """Status, headers that callers act on, fields, types of errors and scores."""
    _compare(RESPONSES["rest"], rest_responses(server.rest))


@pytest.mark.parametrize(("method", "path"), SURFACE["paths"], ids=lambda value: value)
def test_rest_path_exists(server: Process, method: str, path: str) -> None:
    """Without a key and a body, a path that exists responds with anything but 404 and 405."""
    assert status_of(server.rest, method, path) not in (404, 405)


def test_grpc_responses_are_the_same(server: Process) -> None:
    """By the descriptors of that version, so fields and values are read as its generated stubs read them."""
    pool = descriptor_pool.DescriptorPool()
    for file in json_format.ParseDict(DESCRIPTORS, FileDescriptorSet()).file:
        pool.Add(file)
    _compare(RESPONSES["grpc"], grpc_responses(server.grpc, pool))


def test_python_client_of_that_version_gets_the_same(server: Process) -> None:
    """The client and its generated stubs, in a process that finds them instead of this version's."""
    called = subprocess.run(
        [sys.executable, "-m", "upgrade.recorder.client_calls", server.grpc],
        env=environment(PYTHONPATH=f"{CLIENT}:{_TESTS}"),
        check=True,
        capture_output=True,
        text=True,
    )
    results = json.loads(called.stdout)
    assert results.pop("client").startswith(str(CLIENT))
    _compare(RESPONSES["client"], results)


def test_program_for_that_client_runs_with_this_one(server: Process) -> None:
    """Names, arguments, results and classes of errors are kept."""
    _compare(RESPONSES["client"], json.loads(json.dumps(client_results(server.grpc))))


def test_rank_prints_the_same_json(server: Process, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines of `rerank rank --json`."""
    words = ["rank", "--server", server.grpc, "--api-key", KEY, "--json", "--top-n", "2", QUERY, *DOCUMENTS]
    parsed = build_parser(commands()).parse_args(words)
    assert parsed.run(parsed) == 0
    _compare({"printed": RESPONSES["rank"]}, {"printed": list(map(json.loads, capsys.readouterr().out.splitlines()))})

"""Each input of the corpus has the expected outcome, at one started server, which is whole afterwards."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.small import write_small_model
from torture.corpus import Entry, entries
from torture.part import Outcome
from torture.parts import PARTS
from torture.server import Server, ask, serving

_ENTRIES = {f"{part.name}-{name}": (part, entry) for part in PARTS for name, entry in entries(part.name).items()}
_FLAGS = ("--header-timeout", "5", "--progress-timeout", "5", "--rest-idle-timeout", "1", "--admin-port", "0")
"""Flags of all parts, so that one server is enough."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the small model."""
    folder = tmp_path_factory.mktemp("torture")
    with serving(folder / "server.log", write_small_model(folder / "model").folder, _FLAGS) as started:
        yield replace(started, known=asyncio.run(ask(started.process.rest)))


@pytest.mark.parametrize("name", sorted(_ENTRIES))
async def test_input_has_the_expected_outcome(server: Server, name: str) -> None:
    """The file says which fault the input found. The log has no error, and the next request is answered as before."""
    part, entry = _ENTRIES[name]
    assert part.repeat is not None
    assert entry.problem(await part.repeat(server, entry.case)) == ""
    assert await server.problems() == []


def test_entries_say_what_they_found() -> None:
    """And belong to the part of their folder."""
    for part, entry in _ENTRIES.values():
        assert entry.part == part.name
        assert entry.title
        assert entry.expected


def test_wrong_outcome_is_a_problem() -> None:
    """The input is no failure by itself."""
    entry = Entry(part="http", case={}, expected=("400",))
    assert entry.problem(Outcome("400")) == ""
    assert entry.problem(Outcome("200")) == "the outcome is 200, expected 400"
    assert entry.problem(Outcome("400", "the error has no field")) == "the error has no field"

"""What every client is asked, and what is expected of all of them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest

from clients.ground import Ground
from clients.ways import Way

T = TypeVar("T")
QUERY = "capital of France"
DOCUMENTS = ["Rome is the capital of Italy.", "Paris is the capital of France.", "Bread is made of flour and water."]
ORDER = [1, 0, 2]
MODEL = "starter"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a ranking of DOCUMENTS."""

    query: str = QUERY
    model: str = MODEL
    top_n: int | None = None


class Refused(Exception):
    """Raised by an `ask` whose client tells of errors without raising."""


@dataclass(frozen=True, slots=True)
class Case:
    """A client, and what it does."""

    way: Way[Any]
    ask: Callable[[Any, Asked], Iterable[tuple[int, float]]]
    """Asks a client that the way made, for indexes and scores as the client gives them."""
    path: str
    """Where it goes."""
    raises: Mapping[int, type[Exception]]
    """The very class by each status that it can be given: one that sends no model's name gets no 404, say."""
    retries: bool = False
    """Whether it tries again by itself when it is refused."""
    cuts: bool = True
    """Whether it knows top_n."""
    unit: bool = True
    """Whether its scores lie between 0 and 1."""

    def __str__(self) -> str:
        return str(self.way)


_LOOP = asyncio.new_event_loop()


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """What an asynchronous call gives; all run in one loop, since clients keep their connections."""
    return _LOOP.run_until_complete(coroutine)


def expect(ranked: Iterable[tuple[int, float]], top_n: int = len(ORDER), *, unit: bool = True) -> None:
    """The order of the documents, cut at top_n; scores descend."""
    indexes, scores = zip(*ranked, strict=True)
    assert list(indexes) == ORDER[:top_n]
    assert list(scores) == sorted(scores, reverse=True)
    assert not unit or all(0 <= score <= 1 for score in scores)


class Ranks:
    """What a test class inherits, to be run for each of its cases: the parser and the path."""

    cases: ClassVar[Sequence[Case]]

    def test_it_ranks(self, ground: Ground, case: Case) -> None:
        """Order, indexes, top_n, and where the base URL leads."""
        client = ground.open(case.way)
        expect(case.ask(client, Asked()), unit=case.unit)
        if case.cuts:
            expect(case.ask(client, Asked(top_n=2)), top_n=2, unit=case.unit)
        assert ground.last.path == case.path


class Errors(Ranks):
    """Likewise: errors too."""

    def test_errors_have_their_classes(self, ground: Ground, case: Case) -> None:
        """400, 401 and 404, each after one call."""
        for status, asked, key in (
            (400, Asked(query=""), ""),
            (401, Asked(), "wrong"),
            (404, Asked(model="no-such-model"), ""),
        ):
            if status not in case.raises:
                continue
            client = ground.open(case.way, k=key, M=asked.model)
            before = len(ground.calls)
            with pytest.raises(case.raises[status]) as caught:
                case.ask(client, asked)
            assert caught.type is case.raises[status]
            assert [call.status for call in ground.calls[before:]] == [status]


class Checks(Errors):
    """Likewise: refusals too."""

    @pytest.mark.parametrize(("status", "server"), [(429, "overloaded"), (503, "draining")])
    def test_a_refusal(self, ground: Ground, case: Case, status: int, server: str) -> None:
        """It is tried again, or raised with its class, whichever the client does."""
        ground.front.next(server)
        client = ground.open(case.way)
        if case.retries:
            expect(case.ask(client, Asked()), unit=case.unit)
            assert [call.status for call in ground.calls] == [status, 200]
        else:
            with pytest.raises(case.raises[status]) as caught:
                case.ask(client, Asked())
            assert caught.type is case.raises[status]
            assert [call.status for call in ground.calls] == [status]

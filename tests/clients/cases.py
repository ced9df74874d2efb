"""Requests that every client sends, and checks that apply to all clients."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest

from clients.harness import Harness
from clients.setups import ClientSetup

T = TypeVar("T")
QUERY = "capital of France"
DOCUMENTS = ["Rome is the capital of Italy.", "Paris is the capital of France.", "Bread is made of flour and water."]
ORDER = [1, 0, 2]
MODEL = "starter"
STATUSES = (400, 401, 404, 413, 429, 500, 503)
"""Statuses of errors that clients are tested with."""
RETRIED = (429, 500, 503)
"""Statuses after which most SDKs send the request again."""
REFUSED = (429, 503)
"""Statuses after which an SDK sends the request again if it does not repeat a failed model."""


@dataclass(frozen=True, slots=True)
class RankRequest:
    """A request to rank DOCUMENTS."""

    query: str = QUERY
    model: str = MODEL
    top_n: int | None = None


class ReportedError(Exception):
    """Raised by a `Case.ask` whose client reports errors without raising."""


@dataclass(frozen=True, slots=True)
class Case:
    """A client setup and its expected behaviour."""

    setup: ClientSetup[Any]
    ask: Callable[[Any, RankRequest], Iterable[tuple[int, float]]]
    """Send a request with the client, and return indexes and scores as the client gives them."""
    path: str
    """Path of its requests."""
    raises: Mapping[int, type[Exception]]
    """Exact exception class by HTTP status. A client that sends no model name never gets 404."""
    retries: Collection[int] = ()
    """Statuses after which the client sends the request again."""
    failed: int = 500
    """Status that means that the model failed: TEI and Bedrock have their own."""
    cuts: bool = True
    """True if the client has top_n."""
    unit: bool = True
    """True if its scores are between 0 and 1."""

    def __str__(self) -> str:
        return str(self.setup)


_LOOP = asyncio.new_event_loop()


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine. All run in one loop, because clients keep their connections."""
    return _LOOP.run_until_complete(coroutine)


def expect(ranked: Iterable[tuple[int, float]], top_n: int = len(ORDER), *, unit: bool = True) -> None:
    """Check the order of the documents, the length top_n, and that scores descend."""
    indexes, scores = zip(*ranked, strict=True)
    assert list(indexes) == ORDER[:top_n]
    assert list(scores) == sorted(scores, reverse=True)
    assert not unit or all(0 <= score <= 1 for score in scores)


class RankingTests:
    """Base class of tests, run for each of its cases: results and path."""

    cases: ClassVar[Sequence[Case]]

    def test_it_ranks(self, harness: Harness, case: Case) -> None:
        """Check order, indexes, top_n and the path."""
        client = harness.open(case.setup)
        expect(case.ask(client, RankRequest()), unit=case.unit)
        if case.cuts:
            expect(case.ask(client, RankRequest(top_n=2)), top_n=2, unit=case.unit)
        assert harness.last.path == case.path


class ErrorTests(RankingTests):
    """Base class of tests: results, path and errors."""

    def test_errors_have_their_classes(self, harness: Harness, case: Case) -> None:
        """Check the exceptions of 400, 401 and 404, each after one call."""
        for status, rank_request, key in (
            (400, RankRequest(query=""), ""),
            (401, RankRequest(), "wrong"),
            (404, RankRequest(model="no-such-model"), ""),
        ):
            if status not in case.raises:
                continue
            client = harness.open(case.setup, k=key, M=rank_request.model)
            before = len(harness.calls)
            with pytest.raises(case.raises[status]) as caught:
                case.ask(client, rank_request)
            assert caught.type is case.raises[status]
            assert [call.status for call in harness.calls[before:]] == [status]


class RetryTests(ErrorTests):
    """Base class of tests: results, path, errors and refusals."""

    @pytest.mark.parametrize("server", ["small", "overloaded", "failing", "draining"])
    def test_refusal(self, harness: Harness, case: Case, server: str) -> None:
        """Check that the client retries, or raises its exception."""
        status = {"small": 413, "overloaded": 429, "failing": case.failed, "draining": 503}[server]
        harness.recorder.next(server)
        client = harness.open(case.setup)
        if status in case.retries:
            expect(case.ask(client, RankRequest()), unit=case.unit)
            assert [call.status for call in harness.calls] == [status, 200]
        else:
            with pytest.raises(case.raises[status]) as caught:
                case.ask(client, RankRequest())
            assert caught.type is case.raises[status]
            assert [call.status for call in harness.calls] == [status]


class NoVainRetryTests(RetryTests):
    """Base class of tests: those of `RetryTests`, and an error that a retry would only repeat."""

    def test_exceeded_deadline_is_not_repeated(self, harness: Harness) -> None:
        """The server sends `x-should-retry: false`, which SDKs obey that Stainless generates."""
        case = self.cases[0]
        client = harness.open(case.setup).with_options(default_headers={"X-Request-Timeout": "0.000001"})
        with pytest.raises(case.raises[500]):
            case.ask(client, RankRequest())
        assert [call.status for call in harness.calls] == [504]

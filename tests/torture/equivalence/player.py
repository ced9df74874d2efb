"""Send requests in the ways of clients: some wait, some have a short deadline, some go away."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc
import httpx

from torture.equivalence.answers import comparable, difference
from torture.equivalence.pool import Answered, Clients, answer
from torture.equivalence.swaps import Swaps
from torture.part import Outcome

_CANCELLED_SHARE, _SHORT_SHARE = 0.1, 0.1
_LONGEST_SECONDS = 0.03
"""Upper bound of a short deadline, and of the time after which a client goes away."""
_LATE = (408, 429, 504)
_LATE_CODES = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)


@dataclass(slots=True)
class Player:
    """Plays requests against a server, and compares each answer with that of the version that may have served it."""

    pool: list[Answered]
    clients: Clients
    swaps: Swaps
    cached: bool
    pairs: int = 0
    """Number of compared scores."""
    waited: Counter[str] = field(default_factory=Counter)
    """Ids of the requests that were answered."""
    gone: set[str] = field(default_factory=set)
    """Ids of the requests that the server may not have seen."""

    async def play(self, number: int, generator: random.Random) -> Outcome:
        """Send the request of a number, and return what happened."""
        chosen = generator.choice(self.pool)
        request_id, moment = f"equivalence-{number}", self.swaps.begin()
        way = generator.random()
        try:
            if way < _CANCELLED_SHARE:
                found = await self._cancelled(chosen, request_id, generator.uniform(0, _LONGEST_SECONDS))
            elif way < _CANCELLED_SHARE + _SHORT_SHARE:
                found = await self._in_time(chosen, request_id, generator.uniform(0.001, _LONGEST_SECONDS))
            else:
                found = await answer(chosen.request, self.clients, {"x-request-id": request_id})
                self.waited[request_id] += 1
        except (httpx.HTTPError, grpc.aio.AioRpcError, ValueError, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            if _is_refusal(error):
                self.gone.add(request_id)
                return Outcome("refused")
            return Outcome("failed", f"{chosen.form}: {_words(error)}")
        if found is None:
            self.gone.add(request_id)
            return Outcome("went away" if way < _CANCELLED_SHARE else "too late")
        return self._compared(chosen, found, self.swaps.versions_since(moment))

    async def _cancelled(self, chosen: Answered, request_id: str, seconds: float) -> Any:
        """Return the answer, or None if the client went away before."""
        task = asyncio.create_task(answer(chosen.request, self.clients, {"x-request-id": request_id}))
        done, _ = await asyncio.wait([task], timeout=seconds)
        if done:
            self.waited[request_id] += 1
            return task.result()
        task.cancel()
        await asyncio.wait([task])
        return None

    async def _in_time(self, chosen: Answered, request_id: str, seconds: float) -> Any:
        """Return the answer, or None if the server says that it comes too late."""
        headers = {"x-request-id": request_id, "x-request-timeout": f"{seconds:.4f}"}
        try:
            found = await answer(chosen.request, self.clients, headers, seconds=seconds)
        except httpx.HTTPStatusError as error:
            if error.response.status_code in _LATE:
                return None
            raise
        except grpc.aio.AioRpcError as error:
            if error.code() in _LATE_CODES or _has_lost_status(error):
                return None
            raise
        except asyncio.CancelledError:  # how grpc.aio reports a deadline while it writes
            if _is_cancelled():
                raise
            return None
        self.waited[request_id] += 1
        return found

    def _compared(self, chosen: Answered, found: Any, versions: frozenset[int]) -> Outcome:
        found = comparable(found, cached=self.cached)
        differences = [difference(found, chosen.by_version[version]) for version in sorted(versions)]
        if all(differences):
            return Outcome("different", f"{chosen.form}, versions {sorted(versions)}: {'; '.join(differences)}")
        self.pairs += _scores(found)
        return Outcome(chosen.form)


def _scores(found: Any) -> int:
    """Return the number of scores in an answer."""
    if isinstance(found, list):
        return sum(_scores(each) for each in found) + sum(isinstance(each, float) for each in found)
    if not isinstance(found, dict):
        return 0
    own = any(name in found for name in ("score", "relevance_score", "relevanceScore", "logit"))
    return own + sum(_scores(value) for value in found.values())


def _is_cancelled() -> bool:
    """Return whether this task is cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _has_lost_status(error: grpc.aio.AioRpcError) -> bool:
    """Return whether grpc.aio replaced the status of a call that ended while it wrote (docs/decisions/0062-…). Before a
    deadline of some milliseconds, the server has no time to prevent that."""
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core"


def _is_refusal(error: BaseException) -> bool:
    """Return whether the server is too busy. A request of another client may have a short deadline that must hold."""
    if isinstance(error, grpc.aio.AioRpcError):
        return bool(error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == HTTPStatus.TOO_MANY_REQUESTS


def _words(error: BaseException) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}: {error.response.text[:300]}"
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return repr(error)

"""Score pairs with a running server.

Consecutive pairs with the same query are one request. Requests of all parts run at the same time, up to a limit.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from types import TracebackType
from typing import Any, Self

import numpy as np

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.tools.batch.job_identity import check_server
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.parts import Pairs
from rerank_service.tools.batch.rejections import Wrong, what_is_wrong
from rerank_service.tools.rest_client import RestClient, client_of
from rerank_service.tools.served_identity import listed_identity, scores_by, scoring_identity
from rerank_service.tools.served_model import scored_if_working, served_model
from rerank_service.tools.server_address import ServerAddress
from rerank_service.tools.server_calls import (
    CALL_ERRORS,
    TIMEOUT_REPEATS,
    TIMEOUT_SECONDS,
    Failure,
    failure,
    failure_message,
)
from rerank_service.tools.short_text import short_text

CONCURRENT_REQUESTS = 16
_MAX_DOCUMENTS = 256
"""Documents of one request, below the limits of this server and of other servers."""


class RemoteScorer:
    """Scores pairs with a server. Its requests run on an event loop in a thread."""

    def __init__(self, server: ServerAddress, *, api_key: str | None, model: str, options: dict[str, Any]) -> None:
        """`model` is the name of the model at the server; empty for its first one. `options` are fields of each
        request, as the clients take them."""
        self._server = server
        self._api_key = api_key
        self._model = model
        self._options = options
        self._accepted: Mapping[str, str] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="requests", daemon=True)
        self._running = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._client: AsyncRerankClient | RestClient

    def __enter__(self) -> Self:
        """Open the connection."""
        self._thread.start()
        self._client = self._wait(self._connect())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the requests that are not finished, and close the connection."""
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def identity(self, *, patient: bool = False) -> dict[str, str]:
        """Return the model, the engine and the reading of texts of the server, on which its scores depend.

        `patient`: wait for a server that is busy or restarts.

        Raises:
            RerankError, RestCallFailed: the server does not respond.
            SettingsInvalid: it has no model with the name.
        """
        return listed_identity(self._wait(served_model(self._client, self._server, self._model, patient=patient)))

    def check_options(self) -> None:
        """Check that the server accepts the options, with a short pair. It waits for a busy server.

        Raises:
            RerankError, RestCallFailed: the server does not accept them.
            NothingScored: the server scores nothing.
        """
        text = short_text()
        self._wait(self._results(text, [text]))

    def accept_only(self, identity: Mapping[str, str]) -> None:
        """Return no scores of another model or engine from now on. An address can have several servers, which answer
        the requests in turn. Servers of older versions, and those with JSON, do not say what scored a response."""
        self._accepted = scores_by(identity)

    def submit(self, pairs: Pairs) -> Callable[[], PairScores]:
        """Start to score pairs. The returned function waits for their scores.

        It raises OperatorError for scores of a model or engine that is not accepted, and NothingScored if the server
        scores nothing.
        """
        return asyncio.run_coroutine_threadsafe(self._score(pairs), self._loop).result

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _connect(self) -> AsyncRerankClient | RestClient:
        client = client_of(self._server, api_key=self._api_key, timeout=TIMEOUT_SECONDS, retries=0)
        return await client.__aenter__()

    async def _close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    async def _score(self, pairs: Pairs) -> PairScores:
        scored = PairScores(np.full(len(pairs), np.nan), np.full(len(pairs), np.nan), errors := dict[int, str]())
        tasks = [asyncio.create_task(self._request(pairs, positions, scored, errors)) for positions in _requests(pairs)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return scored

    async def _request(
        self,
        pairs: Pairs,
        positions: Sequence[int],
        scored: PairScores,
        errors: dict[int, str],
        *,
        is_valid_query: bool = False,
    ) -> None:
        """Score pairs of one query. If the request fails because of its documents, or misses its deadline, its halves
        are sent, so that one bad pair fails alone. `is_valid_query`: the query does not cause a failure."""
        query, documents = pairs.queries[positions[0]], [pairs.documents[at] for at in positions]
        try:
            results = await self._results(query, documents)
        except CALL_ERRORS as error:
            wrong = what_is_wrong(error)
            if wrong is Wrong.OTHER:
                raise
            if len(positions) > 1 and wrong is Wrong.UNKNOWN and not is_valid_query:
                is_valid_query = await self._accepts(query)
                wrong = Wrong.DOCUMENTS if is_valid_query else Wrong.QUERY
            if len(positions) == 1 or wrong is Wrong.QUERY:
                errors |= dict.fromkeys(positions, failure_message(error).replace("documents[0]", "the document"))
                return
            middle = len(positions) // 2
            for half in (positions[:middle], positions[middle:]):
                await self._request(pairs, half, scored, errors, is_valid_query=is_valid_query)
        else:
            for result, order in zip(results, self._order(results), strict=True):
                scored.scores[positions[result.index]] = result.relevance_score
                scored.order[positions[result.index]] = order

    async def _results(self, query: str, documents: Sequence[str]) -> Sequence[pb.Result]:
        async with self._running:
            call = partial(self._call, query, documents)
            repeats = TIMEOUT_REPEATS if len(documents) == 1 else 0
            return await scored_if_working(self._client, self._model, call, repeats=repeats)

    async def _accepts(self, query: str) -> bool:
        """Return whether the server accepts a query, with a short document."""
        try:
            await self._results(query, [short_text()])
        except CALL_ERRORS as error:
            if what_is_wrong(error) is Wrong.OTHER:
                raise
            return failure(error) is Failure.TIMEOUT
        return True

    def _order(self, results: Sequence[pb.Result]) -> Sequence[float]:
        """Return `PairScores.order` for the results of a request, which are in the order of the server."""
        if self._server.protocol == "http":  # its JSON has scores only
            return [-rank for rank in range(len(results))]
        return [result.logit for result in results]

    async def _call(self, query: str, documents: Sequence[str]) -> Sequence[pb.Result]:
        response = await self._client.rerank(query, documents, model=self._model, **self._options)
        if self._accepted is not None and (scored_by := scoring_identity(response)):
            check_server(self._accepted, scored_by)
        return response.results


def _requests(pairs: Pairs) -> Iterator[Sequence[int]]:
    """Yield the positions of the pairs of each request."""
    for _, group in groupby(range(len(pairs)), key=pairs.queries.__getitem__):
        positions = list(group)
        for start in range(0, len(positions), _MAX_DOCUMENTS):
            yield positions[start : start + _MAX_DOCUMENTS]

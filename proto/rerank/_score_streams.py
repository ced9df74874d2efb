"""Scores as an iterator. Private: import from rerank.client."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from rerank._messages import merge_response
from rerank.errors import Cancelled
from rerank.v1 import rerank_pb2 as pb


class _Ranking:
    """The scores that wait for the caller, and the ranking as far as it has arrived."""

    def __init__(self) -> None:
        self._scores: deque[pb.PartialScore] = deque()
        self._ranking = pb.RerankResponse()
        self._complete = False
        self._closed_by: object = None
        """The task or the thread that closed the stream; None while it is open."""

    @property
    def ranking(self) -> pb.RerankResponse:
        """The final ranking, as `rerank_stream` returns it. It arrives after the last score.

        Raises:
            RuntimeError: not all scores have been read, or the call has failed.
        """
        if not self._complete:
            raise RuntimeError("the ranking has not arrived: read all scores first")
        return self._ranking

    def _check_end(self, reader: object) -> None:
        """Check that the responses have ended after the last score, or because the reader has closed the stream.

        Raises:
            Cancelled: they have ended before, by an error or the interruption of a read, or another thread or task has
                closed the stream.
        """
        if not self._complete and not self._ended_by(reader):
            raise Cancelled("the call has ended before its last score")

    def _ended_by(self, reader: object) -> bool:
        """Return True if the reader has closed the stream before its last score.

        Raises:
            Cancelled: another thread or task has closed it. Otherwise, the reader would believe that it has read all
                scores.
        """
        if self._closed_by is None or self._complete:
            return False
        if self._closed_by != reader:
            raise Cancelled("the scores are closed")
        return True

    def _add(self, response: pb.RerankStreamResponse) -> None:
        merge_response(self._ranking, response, lambda partial: self._scores.extend(partial.scores))
        self._complete = response.last


class ScoreStream(_Ranking, Iterator[pb.PartialScore]):
    """Scores of documents, each as soon as it is known, in no particular order. At the end, `ranking` is the ranking.

    Each score has `index`, `id`, `relevance_score`, `logit` and `truncated`, and is final. The call starts when the
    first score is read. If the caller reads slowly, the server reads no more documents until the caller continues.
    `close()`, the end of a `with` block and the garbage collection of the iterator cancel the call.
    """

    def __init__(self, responses: Generator[pb.RerankStreamResponse], cancel: Callable[[], None]) -> None:
        """Use RerankClient.scores."""
        super().__init__()
        self._responses = responses
        self._cancel = cancel

    def __next__(self) -> pb.PartialScore:
        """Wait for the next score.

        Raises:
            StopIteration: all scores were read.
            RerankError: the call failed.
            Cancelled: an earlier read raised an error or was interrupted (`KeyboardInterrupt`), which ends the call.
        """
        while True:
            with suppress(IndexError):  # there is none, or another thread has closed the stream
                return self._scores.popleft()
            if self._ended_by(threading.get_ident()):
                raise StopIteration
            response = next(self._responses, None)
            if response is None:
                self._check_end(threading.get_ident())
                raise StopIteration
            self._add(response)

    def close(self) -> None:
        """Cancel the call, if it is not finished. Scores that were not read are lost.

        Another thread may do so, too: the thread that reads the scores gets a `Cancelled`.
        """
        self._closed_by = self._closed_by or threading.get_ident()
        self._scores.clear()
        self._cancel()
        with suppress(ValueError):  # another thread waits for the next score, and closes the generator by its error
            self._responses.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncScoreStream(_Ranking, AsyncIterator[pb.PartialScore]):
    """Scores of documents for `async for`, like ScoreStream. Use `async with`, or `aclose()` before the last score."""

    def __init__(self, responses: AsyncGenerator[pb.RerankStreamResponse], cancel: Callable[[], None]) -> None:
        """Use AsyncRerankClient.scores."""
        super().__init__()
        self._responses = responses
        self._cancel = cancel

    async def __anext__(self) -> pb.PartialScore:
        """Wait for the next score.

        Raises:
            StopAsyncIteration: all scores were read.
            RerankError: the call failed.
            Cancelled: an earlier read raised an error or was cancelled, for example by a timeout, which ends the call.
        """
        while not self._scores:
            if self._ended_by(asyncio.current_task()):
                raise StopAsyncIteration
            response = await anext(self._responses, None)
            if response is None:
                self._check_end(asyncio.current_task())
                raise StopAsyncIteration
            self._add(response)
        return self._scores.popleft()

    async def aclose(self) -> None:
        """Cancel the call, if it is not finished. Scores that were not read are lost.

        Another task may do so, too: the task that reads the scores gets a `Cancelled`.
        """
        self._closed_by = self._closed_by or asyncio.current_task()
        self._scores.clear()
        self._cancel()
        if not self._responses.ag_running:  # otherwise, the task that waits closes the generator by its error
            await self._responses.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

"""The flow of one request: admit, tokenize, queue, score, rank."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from rerank_service.admission import Admission
from rerank_service.batching import EncodedPair
from rerank_service.deadline import Deadline
from rerank_service.documents import Document
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.meter import Meter
from rerank_service.ranking import RankedDocument, Ranking, RerankRequest, Scoreboard
from rerank_service.registry import Registry
from rerank_service.repeats import Repeats
from rerank_service.scheduler import Scored, Submission
from rerank_service.tokenizer import EncodedQuery

T = TypeVar("T")

OnScores = Callable[[Iterator[RankedDocument]], Awaitable[None]]
"""Told the results of documents as they are scored, ahead of the ranking."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much one request may ask."""

    max_documents: int = 10_000
    """Of a unary request."""
    max_stream_documents: int = 1_000_000
    max_query_chars: int = 100_000
    max_document_chars: int = 1_000_000
    max_kept_chars: int = 32 * 1024 * 1024
    """Text that a stream with return_documents may hold for its ranking."""
    window: int = 2_048
    """Documents of one request that may wait to be scored; a stream is read on when there is room."""
    chunk: int = 256
    """Documents tokenized at once."""


class Reranker:
    """Ranks documents for queries."""

    def __init__(
        self, registry: Registry, admission: Admission, limits: RequestLimits, tokenizing: Executor | None = None
    ) -> None:
        """`tokenizing` runs the tokenizer, which blocks (and releases the GIL)."""
        self._registry = registry
        self._admission = admission
        self._tokenizing = tokenizing
        self.limits = limits

    async def rerank(self, request: RerankRequest, documents: Sequence[Document], *, deadline: Deadline) -> Ranking:
        """Rank documents that are all there.

        Raises:
            RerankError: any of errors.py; DeadlineExceeded when that has passed.
        """
        self._check_count(len(documents), self.limits.max_documents)
        with self._admission.admit(len(documents)):
            return await self._rank(request, _once(documents), deadline=deadline)

    async def rerank_stream(
        self,
        request: RerankRequest,
        chunks: AsyncIterable[Sequence[Document]],
        *,
        deadline: Deadline,
        on_scores: OnScores | None = None,
    ) -> Ranking:
        """Rank documents that arrive in chunks; the next chunk is asked for when there is room for it."""
        with self._admission.admit(self.limits.window):
            return await self._rank(
                request, chunks, deadline=deadline, on_scores=on_scores, max_kept_chars=self.limits.max_kept_chars
            )

    async def _rank(
        self,
        request: RerankRequest,
        chunks: AsyncIterable[Sequence[Document]],
        *,
        deadline: Deadline,
        on_scores: OnScores | None = None,
        max_kept_chars: int | None = None,
    ) -> Ranking:
        model = self._registry.get(request.model)
        self._check_chars("query", request.query, self.limits.max_query_chars)
        board = Scoreboard(request, model.activation, max_kept_chars=max_kept_chars)
        meter = Meter(model.scheduler.clock)

        repeats = Repeats()

        async def encode(query: EncodedQuery, documents: Sequence[Document]) -> list[EncodedPair]:
            texts = [document.text for document in documents]
            with meter.tokenizing():
                return await self._blocking(
                    lambda: model.tokenizer.encode_documents(
                        query, texts, max_tokens_per_doc=request.max_tokens_per_doc
                    )
                )

        async def feed(query: EncodedQuery, submission: Submission) -> None:
            async for documents in chunks:
                self._check_count(len(board) + len(documents), self.limits.max_stream_documents)
                for part in _parts(documents, self.limits.chunk):
                    self._check_texts(part, first=len(board))
                    fresh = _fresh(part, await encode(query, part), board, repeats, submission)
                    meter.encoded([pair for _, pair in fresh])
                    await submission.add(fresh)
            self._check_count(len(board), self.limits.max_stream_documents)

        async with deadline.enforced():
            with meter.tokenizing():
                query = await self._blocking(lambda: model.tokenizer.encode_query(request.query))
            with model.scheduler.submission(priority=request.priority, room=self.limits.window) as submission:
                async with _feeding(feed(query, submission), submission):
                    async for scored in submission:
                        meter.scored(scored)
                        settled = _settle(scored, board, repeats)
                        if on_scores is not None:
                            await on_scores(board.results(settled))
        return Ranking(
            model.info.name, board.order(), meter.usage(query.query_tokens), meter.timing(submission.first_added), board
        )

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, call)

    def _check_count(self, count: int, limit: int) -> None:
        if not count:
            raise InvalidRequest("documents must not be empty", field="documents", reason="empty_documents")
        if count > limit:
            raise TooLarge(
                f"documents has {count} entries; at most {limit} are ranked in one request",
                field="documents",
                reason="too_many_documents",
            )

    def _check_texts(self, documents: Sequence[Document], first: int) -> None:
        for index, document in enumerate(documents, first):
            self._check_chars(f"documents[{index}]", document.text, self.limits.max_document_chars)

    def _check_chars(self, field: str, text: str, limit: int) -> None:
        if len(text) > limit:
            raise TooLarge(f"{field} has {len(text)} characters; at most {limit} are read", field=field)


def _fresh(
    documents: Sequence[Document],
    pairs: Sequence[EncodedPair],
    board: Scoreboard,
    repeats: Repeats,
    submission: Submission,
) -> list[tuple[int, EncodedPair]]:
    """Take in documents; gives the pairs that must be scored, with their indexes. The others are copies: of one that
    is scored already, or of one that waits."""
    fresh: list[tuple[int, EncodedPair]] = []
    for document, pair in zip(documents, pairs, strict=True):
        index = len(board)
        board.add(document, truncated=pair.truncated)
        original = repeats.original(pair, index)
        if original == index:
            fresh.append((index, pair))
        elif (logit := board.logit(original)) is not None:
            submission.repeat([index], [logit])
        else:
            repeats.wait(original, index)
    return fresh


def _settle(scored: Scored, board: Scoreboard, repeats: Repeats) -> list[int]:
    """Note the scores of a batch; gives the indexes of all documents that have one by it, copies included."""
    settled: list[int] = []
    for position, logit in zip(scored.positions, scored.logits, strict=True):
        for index in (position, *repeats.take(position)):
            board.settle(index, logit)
            settled.append(index)
    return settled


async def _once(documents: Sequence[Document]) -> AsyncIterator[Sequence[Document]]:
    yield documents


def _parts(documents: Sequence[Document], size: int) -> Iterator[Sequence[Document]]:
    return (documents[at : at + size] for at in range(0, len(documents), size))


@asynccontextmanager
async def _feeding(feed: Awaitable[None], submission: Submission) -> AsyncIterator[None]:
    """Run the feed beside the block; its end or its error reaches whoever iterates the submission."""

    async def run() -> None:
        try:
            await feed
        except Exception as error:  # noqa: BLE001 - raised again where the submission is iterated
            submission.finish(error)
        else:
            submission.finish()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

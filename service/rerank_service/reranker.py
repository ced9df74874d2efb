"""The flow of one request: admit, tokenize, queue, score, rank."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from rerank_service.admission import Admission, Ticket
from rerank_service.batching import EncodedPair
from rerank_service.deadline import Deadline
from rerank_service.documents import Document
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.meter import Meter
from rerank_service.ranking import RankedDocument, Ranking, RerankRequest, Scoreboard
from rerank_service.registry import Registry, ServedModel
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
        model = self._registry.get(request.model)
        texts = [document.text for document in documents]
        tokens = model.tokenizer.guess(request.query, texts, request.max_tokens_per_doc)
        speed = model.scheduler.tokens_per_second(tokens / len(documents))
        with self._admission.admit(len(documents), tokens, deadline, speed) as ticket:
            live = _Live(request, model, ticket, Scoreboard(request, model.activation), guessed=True)
            return await self._rank(live, _once(documents), deadline)

    async def rerank_stream(
        self,
        request: RerankRequest,
        chunks: AsyncIterable[Sequence[Document]],
        *,
        deadline: Deadline,
        on_scores: OnScores | None = None,
    ) -> Ranking:
        """Rank documents that arrive in chunks; the next chunk is asked for when there is room for it.

        How much will come is not known, so a stream is let in as if it were empty, and counts with what it has sent.
        """
        model = self._registry.get(request.model)
        speed = model.scheduler.tokens_per_second(model.tokenizer.max_tokens)
        with self._admission.admit(0, 0.0, deadline, speed) as ticket:
            board = Scoreboard(request, model.activation, max_kept_chars=self.limits.max_kept_chars)
            return await self._rank(_Live(request, model, ticket, board, on_scores=on_scores), chunks, deadline)

    async def _rank(self, live: "_Live", chunks: AsyncIterable[Sequence[Document]], deadline: Deadline) -> Ranking:
        request, model, meter = live.request, live.model, live.meter
        self._check_chars("query", request.query, self.limits.max_query_chars)
        async with deadline.enforced():
            with meter.tokenizing():
                query = await self._blocking(lambda: model.tokenizer.encode_query(request.query))
            with model.scheduler.submission(priority=request.priority, room=self.limits.window) as submission:
                async with _feeding(self._feed(live, chunks, query, submission), submission):
                    async for scored in submission:
                        await live.settle(scored)
        usage, timing = meter.usage(query.query_tokens), meter.timing(submission.first_added)
        return Ranking(model.info.name, live.board.order(), usage, timing, live.board)

    async def _feed(
        self, live: "_Live", chunks: AsyncIterable[Sequence[Document]], query: EncodedQuery, submission: Submission
    ) -> None:
        """Tokenize documents as they come, and let them wait for a lane."""
        request, board = live.request, live.board
        async for documents in chunks:
            self._check_count(len(board) + len(documents), self.limits.max_stream_documents)
            for part in _parts(documents, self.limits.chunk):
                self._check_texts(part, first=len(board))
                texts = [document.text for document in part]
                with live.meter.tokenizing():
                    pairs = await self._blocking(
                        partial(
                            live.model.tokenizer.encode_documents,
                            query,
                            texts,
                            max_tokens_per_doc=request.max_tokens_per_doc,
                        )
                    )
                await submission.add(live.take_in(part, pairs, submission))
        self._check_count(len(board), self.limits.max_stream_documents)

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


class _Live:
    """What is known of a request while it is being scored."""

    def __init__(
        self,
        request: RerankRequest,
        model: ServedModel,
        ticket: Ticket,
        board: Scoreboard,
        *,
        guessed: bool = False,
        on_scores: OnScores | None = None,
    ) -> None:
        """`guessed`: the ticket expects all documents from the start, by a guess of their tokens."""
        self.request = request
        self.model = model
        self.board = board
        self.meter = Meter(model.scheduler.clock)
        self._ticket = ticket
        self._guessed = guessed
        self._on_scores = on_scores
        self._repeats = Repeats()

    def take_in(
        self, documents: Sequence[Document], pairs: Sequence[EncodedPair], submission: Submission
    ) -> list[tuple[int, EncodedPair]]:
        """Note documents; gives the pairs that must be scored, with their indexes. The others are copies: of one that
        is scored already, or of one that waits."""
        fresh: list[tuple[int, EncodedPair]] = []
        for document, pair in zip(documents, pairs, strict=True):
            index = len(self.board)
            self.board.add(document, truncated=pair.truncated)
            original = self._repeats.original(pair, index)
            if original == index:
                fresh.append((index, pair))
            elif (logit := self.board.logit(original)) is not None:
                submission.repeat([index], [logit])
            else:
                self._repeats.wait(original, index)
        self.meter.encoded([pair for _, pair in fresh])
        self._ticket.progress(self._guess(documents) - sum(len(pair) for _, pair in fresh))
        return fresh

    def _guess(self, documents: Sequence[Document]) -> float:
        if not self._guessed:
            return 0.0
        texts = [document.text for document in documents]
        return self.model.tokenizer.guess(self.request.query, texts, self.request.max_tokens_per_doc)

    async def settle(self, scored: Scored) -> None:
        """Note the scores of a batch, for copies too, and tell who wants to know."""
        self.meter.scored(scored)
        self._ticket.progress(scored.padded_tokens)
        settled: list[int] = []
        for position, logit in zip(scored.positions, scored.logits, strict=True):
            for index in (position, *self._repeats.take(position)):
                self.board.settle(index, logit)
                settled.append(index)
        if self._on_scores is not None:
            await self._on_scores(self.board.results(settled))


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

"""The flow of one request: admit, tokenize, queue, score, rank."""

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rerank_service.admission import Admission, Ticket
from rerank_service.batching import EncodedPair
from rerank_service.cutoff import Cutoff
from rerank_service.deadline import Deadline
from rerank_service.documents import Document, Reader
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.meter import Meter
from rerank_service.pair_key import PairKeys
from rerank_service.ranking import RankedDocument, Ranking, RerankRequest, Scoreboard, TooLong
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
    max_kept_bytes: int = 32 * 1024 * 1024
    """Documents that a stream with return_documents may hold for its ranking."""
    window: int = 2_048
    """Documents of one request that may wait to be scored; a stream is read on when there is room."""
    chunk: int = 256
    """Documents tokenized at once."""
    chunk_chars: int = 1_000_000
    """Characters tokenized at once, so that a request that is cancelled does not work on."""


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

    async def rerank(
        self,
        request: RerankRequest,
        documents: Sequence[Any],
        *,
        reader: Reader,
        deadline: Deadline,
        weight: float = 1.0,
    ) -> Ranking:
        """Rank documents that are all there. `weight` is the request's share of the lanes.

        Raises:
            RerankError: any of errors.py; DeadlineExceeded when that has passed.
        """
        self._check_count(len(documents), self.limits.max_documents)
        self._check_texts(request)
        model = self._registry.get(request.model)
        guess = model.tokenizer.guess(request.query, request.max_tokens_per_doc, instruction=request.instruction)
        tokens = sum(guess(reader.chars(raw)) for raw in documents)
        speed = model.scheduler.tokens_per_second(tokens / len(documents))
        with model.scheduler.in_use(), self._admission.admit(len(documents), tokens, deadline, speed, weight) as ticket:
            board = Scoreboard(request, model.activation, model.calibration)
            live = _Live(request, model, reader, ticket, board, weight=weight, guess=guess)
            async with deadline.enforced():
                return await self._rank(live, _once(documents))

    async def rerank_stream(
        self,
        request: RerankRequest,
        chunks: AsyncIterable[Sequence[Any]],
        *,
        reader: Reader,
        deadline: Deadline,
        deliver: Callable[[Ranking], Awaitable[None]],
        weight: float = 1.0,
        on_scores: OnScores | None = None,
        cutoff: Cutoff | None = None,
    ) -> None:
        """Rank documents that arrive in chunks, the next of which is asked for when there is room for it, and deliver
        the ranking, which may take a while too. With a cutoff the ranking is of what there is by then.

        How much will come is not known, so a stream is let in as if it were empty, and counts with what it has sent.
        One with a cutoff can never be late, so nobody else is refused for its sake.
        """
        self._check_texts(request)
        model = self._registry.get(request.model)
        speed = model.scheduler.tokens_per_second(model.tokenizer.max_tokens)
        due = deadline if cutoff is None else Deadline(math.inf)
        with model.scheduler.in_use(), self._admission.admit(0, 0.0, due, speed, weight) as ticket:
            kept = self.limits.max_kept_bytes
            board = Scoreboard(request, model.activation, model.calibration, max_kept_bytes=kept)
            live = _Live(request, model, reader, ticket, board, weight=weight, on_scores=on_scores, cutoff=cutoff)
            async with deadline.enforced():
                await deliver(await self._rank(live, chunks))

    async def _rank(self, live: "_Live", chunks: AsyncIterable[Sequence[Any]]) -> Ranking:
        model = live.model
        priority, window = live.request.priority, self.limits.window
        with (
            model.scheduler.submission(room=window, priority=priority, weight=live.weight) as submission,
            live.cutoff.armed(submission.cut) if live.cutoff else nullcontext(),
        ):
            async with _feeding(self._feed(live, chunks, submission), submission):
                async for scored in submission:
                    await live.settle(scored)
                missing = None if submission.whole else live.board.missing(live.received)
        usage, timing = live.meter.usage(), live.meter.timing(submission.first_added)
        return Ranking(model.info.name, live.board.order(), usage, timing, live.board, missing)

    async def _feed(self, live: "_Live", chunks: AsyncIterable[Sequence[Any]], submission: Submission) -> None:
        """Read and tokenize the query and documents as they come, and let them wait for a lane."""
        model, meter = live.model, live.meter
        with meter.tokenizing():
            query = await self._blocking(
                partial(model.tokenizer.encode_query, live.request.query, live.request.instruction)
            )
        meter.query_tokens = query.query_tokens
        encode = partial(self._prepare, live, query, PairKeys(query, model.identity))
        async for raws in chunks:
            self._check_most(len(live.board) + len(raws), self.limits.max_stream_documents)
            live.receive(len(raws))
            for part in _parts(raws, live.reader, self.limits):
                with meter.tokenizing():
                    prepared = await self._blocking(partial(encode, part))
                fresh = live.take_in(prepared, submission)
                await submission.add([(one.index, one.pair) for one in fresh], [one.key for one in fresh])
        self._check_count(len(live.board), self.limits.max_stream_documents)

    def _prepare(self, live: "_Live", query: EncodedQuery, keys: PairKeys, raws: Sequence[Any]) -> "list[_Prepared]":
        """The blocking part of taking documents in."""
        documents = []
        for index, raw in enumerate(raws, len(live.board)):
            field, limit = f"documents[{index}]", self.limits.max_document_chars
            self._check_chars(field, live.reader.chars(raw), limit)  # before the work of reading it, and after
            documents.append(live.reader.read(raw, field))
            self._check_chars(field, len(documents[-1].text), limit)
        texts = [document.text for document in documents]
        request = live.request
        pairs = live.model.tokenizer.encode_documents(
            query, texts, max_tokens_per_doc=request.max_tokens_per_doc, cut_side=request.cut_side
        )
        if request.too_long is TooLong.REFUSE:
            _refuse_cut(pairs, first=len(live.board), query=query)
        return [
            _Prepared(index, live.reader.chars(raw), document, pair, keys.of(pair))
            for index, (raw, document, pair) in enumerate(zip(raws, documents, pairs, strict=True), len(live.board))
        ]

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, call)

    def _check_count(self, count: int, limit: int) -> None:
        if not count:
            raise InvalidRequest("documents must not be empty", field="documents", reason="empty_documents")
        self._check_most(count, limit)

    def _check_most(self, count: int, limit: int) -> None:
        if count > limit:
            raise TooLarge(
                f"documents has {count} entries; at most {limit} are ranked in one request",
                field="documents",
                reason="too_many_documents",
            )

    def _check_texts(self, request: RerankRequest) -> None:
        self._check_chars("query", len(request.query), self.limits.max_query_chars)
        self._check_chars("instruction", len(request.instruction), self.limits.max_query_chars)

    def _check_chars(self, field: str, chars: int, limit: int) -> None:
        if chars > limit:
            raise TooLarge(f"{field} has {chars} characters; at most {limit} are read", field=field)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A document that was read and tokenized."""

    index: int
    chars: int
    document: Document
    pair: EncodedPair
    key: bytes


class _Live:
    """What is known of a request while it is being scored."""

    def __init__(
        self,
        request: RerankRequest,
        model: ServedModel,
        reader: Reader,
        ticket: Ticket,
        board: Scoreboard,
        *,
        weight: float = 1.0,
        guess: Callable[[int], float] | None = None,
        on_scores: OnScores | None = None,
        cutoff: Cutoff | None = None,
    ) -> None:
        """`guess`: what the ticket has expected of each document from the start, by its characters."""
        self.request = request
        self.model = model
        self.reader = reader
        self.board = board
        self.weight = weight
        self.cutoff = cutoff
        self.received = 0
        """Documents read, whether or not they are on the board yet."""
        self.meter = Meter(model.scheduler.clock)
        self._ticket = ticket
        self._guess = guess
        self._on_scores = on_scores
        self._repeats = Repeats()

    def receive(self, documents: int) -> None:
        """Count documents that were read."""
        self.received += documents
        if self.cutoff is not None:
            self.cutoff.expect(self.board.answer_bytes(self.received))

    def take_in(self, prepared: Sequence[_Prepared], submission: Submission) -> list[_Prepared]:
        """Note documents; gives those that must be scored. The others are copies, of one that is scored already or of
        one that waits, or the scheduler knows their scores."""
        originals: list[_Prepared] = []
        copies: dict[int, float] = {}
        for one in prepared:
            self.board.add(one.document, truncated=one.pair.truncated)
            original = self._repeats.original(one.key, one.index)
            if original == one.index:
                originals.append(one)
            elif (logit := self.board.logit(original)) is not None:
                copies[one.index] = logit
            else:
                self._repeats.wait(original, one.index)
        if copies:
            submission.repeat(list(copies), list(copies.values()))
        fresh = self._unknown(originals, submission)
        expected = sum(self._guess(one.chars) for one in prepared) if self._guess else 0.0
        self._ticket.progress(expected - sum(self.model.scheduler.padded(len(one.pair)) for one in fresh))
        return fresh

    def _unknown(self, originals: list[_Prepared], submission: Submission) -> list[_Prepared]:
        """Settle what has been scored for others before; gives the rest."""
        logits = self.model.scheduler.known([one.key for one in originals])
        known = {one.index: logit for one, logit in zip(originals, logits, strict=True) if logit is not None}
        if not known:
            return originals
        submission.repeat(list(known), list(known.values()), shared=len(known))
        return [one for one in originals if one.index not in known]

    async def settle(self, scored: Scored) -> None:
        """Note the scores of a batch, for copies too, and tell who wants to know."""
        self.meter.scored(scored)
        self._ticket.progress(scored.own_tokens)
        settled: list[int] = []
        for position, logit in zip(scored.positions, scored.logits, strict=True):
            for index in (position, *self._repeats.take(position)):
                self.board.settle(index, logit)
                settled.append(index)
        if self._on_scores is not None:
            await self._on_scores(self.board.results(settled))


def _refuse_cut(pairs: Sequence[EncodedPair], *, first: int, query: EncodedQuery) -> None:
    for index, pair in enumerate(pairs, first):
        if pair.truncated:
            room = len(pair.document) - query.lead_tokens
            raise TooLarge(
                f"documents[{index}] has more than {room} tokens, and is neither to be cut nor scored in windows",
                field=f"documents[{index}]",
                reason="document_too_long",
            )


async def _once(documents: Sequence[Any]) -> AsyncIterator[Sequence[Any]]:
    yield documents


def _parts(raws: Sequence[Any], reader: Reader, limits: RequestLimits) -> Iterator[Sequence[Any]]:
    """Runs of documents that are few and short enough to be tokenized at once."""
    start = chars = 0
    for at, raw in enumerate(raws):
        more = reader.chars(raw)
        if at > start and (at - start == limits.chunk or chars + more > limits.chunk_chars):
            yield raws[start:at]
            start, chars = at, 0
        chars += more
    if start < len(raws):
        yield raws[start:]


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
        await asyncio.wait([task])

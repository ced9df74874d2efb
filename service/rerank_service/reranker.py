"""The flow of one request: admit, tokenize, queue, score, rank."""

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rerank_service.encoding.duplicates import Repeats
from rerank_service.encoding.pair_key import PairKeys
from rerank_service.encoding.preparer import Keyed, Prepared, Preparer, check_chars
from rerank_service.encoding.windows import Reading, window_tokens
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.models.registry import Registry, ServedModel
from rerank_service.quantities import counted
from rerank_service.ranking.document import Reader
from rerank_service.ranking.ranking import RankedDocument, Ranking, RerankRequest, Scoreboard, TooLong
from rerank_service.scheduling.admission import Admission, Ticket
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.scheduler import Scored, Submission
from rerank_service.scheduling.usage_meter import Meter

T = TypeVar("T")

OnScores = Callable[[Iterator[RankedDocument]], Awaitable[None]]
"""Told the results of documents as they are scored, ahead of the ranking."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much one request may ask."""

    max_documents: int = 10_000
    """Of a unary request."""
    max_stream_documents: int = 1_000_000
    document_tokens: int = 8192
    """Of a document that are read, where a request does not say."""
    window_tokens: int | None = None
    """Of a document that are scored together, where it is too long; None: as suits the model."""
    max_windows: int = 10_000
    """Beyond the first of each document, of a unary request."""
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
        reading = _reading(request, self.limits, model)
        guess = model.tokenizer.guess(request.query, reading, instruction=request.instruction)
        tokens = sum(guess(reader.chars(raw)) for raw in documents)
        speed = model.scheduler.tokens_per_second(min(tokens / len(documents), model.tokenizer.max_tokens))
        with model.scheduler.in_use(), self._admission.admit(len(documents), tokens, deadline, speed, weight) as ticket:
            board = Scoreboard(request, model.activation, model.calibration)
            most = self.limits.max_windows
            live = _Live(request, model, reader, ticket, board, weight=weight, guess=guess, max_windows=most)
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
        preparer = Preparer(
            live.request,
            _reading(live.request, self.limits, model),
            model.tokenizer,
            live.reader,
            query,
            PairKeys(query, model.identity),
            self.limits.max_document_chars,
        )
        async for raws in chunks:
            self._check_most(len(live.board) + len(raws), self.limits.max_stream_documents)
            live.receive(len(raws))
            for part in _parts(raws, live.reader, self.limits):
                with meter.tokenizing():
                    prepared = await self._blocking(partial(preparer.prepare, part, len(live.board)))
                fresh = live.take_in(prepared, submission)
                await submission.add([(index, pair) for index, pair, _ in fresh], [key for *_, key in fresh])
        self._check_count(len(live.board), self.limits.max_stream_documents)

    async def _blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, call)

    def _check_count(self, count: int, limit: int) -> None:
        if not count:
            raise InvalidRequest("documents must not be empty", field="documents", reason="empty_documents")
        self._check_most(count, limit)

    def _check_most(self, count: int, limit: int) -> None:
        if count > limit:
            raise TooLarge(
                f"documents has {counted(count, 'entry')}; at most {limit:,} are ranked in one request",
                field="documents",
                reason="too_many_documents",
            )

    def _check_texts(self, request: RerankRequest) -> None:
        check_chars("query", len(request.query), self.limits.max_query_chars)
        check_chars("instruction", len(request.instruction), self.limits.max_query_chars)


def _reading(request: RerankRequest, limits: RequestLimits, model: ServedModel) -> Reading:
    windows, length = request.too_long in {TooLong.WINDOWS, TooLong.WHOLE}, model.tokenizer.max_tokens
    return Reading(
        request.max_tokens_per_doc or (limits.document_tokens if windows else length),
        limits.window_tokens or window_tokens(length),
        windows,
        request.max_chunks_per_doc,
        request.overlap_tokens,
        request.cut_side,
    )


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
        max_windows: int | None = None,
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
        self._max_windows = max_windows
        self._on_scores = on_scores
        self._repeats = Repeats()

    def receive(self, documents: int) -> None:
        """Count documents that were read."""
        self.received += documents
        if self.cutoff is not None:
            self.cutoff.expect(self.board.answer_bytes(self.received))

    def take_in(self, prepared: Sequence[Prepared], submission: Submission) -> list[Keyed]:
        """Note documents; gives what must be scored of them. The others are copies, of one that is scored already or of
        one that waits, or the scheduler knows their scores.

        Raises:
            TooLarge: they make too many windows.
        """
        originals: list[Prepared] = []
        copies: dict[int, float] = {}
        for one in prepared:
            original = self._repeats.original(one.key, one.index)
            copied = original != one.index
            self.board.add(one.document, truncated=one.truncated, spans=one.spans, copied=copied)
            if not copied:
                originals.append(one)
            elif (logit := self.board.logit(original)) is not None:
                self.board.resemble(one.index, original)
                copies[one.index] = logit
            else:
                self._repeats.wait(original, one.index)
        self._check_windows()
        if copies:
            submission.repeat(list(copies), list(copies.values()))
        fresh = self._unknown(originals, submission)
        expected = sum(self._guess(one.chars) for one in prepared) if self._guess else 0.0
        self._ticket.progress(expected - sum(self.model.scheduler.padded(len(pair)) for _, pair, _ in fresh))
        return fresh

    def _check_windows(self) -> None:
        if self._max_windows is not None and self.board.windows - len(self.board) > self._max_windows:
            raise TooLarge(
                f"the documents make more than {counted(self._max_windows, 'window')} beyond the first of each: set "
                "a smaller max_tokens_per_doc or max_chunks_per_doc, or send fewer documents",
                field="documents",
                reason="too_many_windows",
            )

    def _unknown(self, originals: list[Prepared], submission: Submission) -> list[Keyed]:
        """Settle what has been scored for others before; gives the rest."""
        wanted = [pair for one in originals for pair in one.pairs]
        logits = self.model.scheduler.known([key for *_, key in wanted])
        known = [(one, logit) for one, logit in zip(wanted, logits, strict=True) if logit is not None]
        if not known:
            return wanted
        submission.repeat(
            [index for (index, *_), _ in known],
            [logit for _, logit in known],
            windows=[pair.window for (_, pair, _), _ in known],
            shared=len(known),
        )
        return [one for one, logit in zip(wanted, logits, strict=True) if logit is None]

    async def settle(self, scored: Scored) -> None:
        """Note the scores of a batch, for copies too, and tell who wants to know."""
        self.meter.scored(scored)
        self._ticket.progress(scored.own_tokens)
        settled: list[int] = []
        for index, window, logit in zip(scored.positions, scored.windows, scored.logits, strict=True):
            if self.board.settle(index, logit, window):
                settled.append(index)
                for copy in self._repeats.take(index):
                    self.board.repeat(copy, index)
                    settled.append(copy)
        if self._on_scores is not None and settled:
            await self._on_scores(self.board.results(settled))


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

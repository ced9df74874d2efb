"""The flow of one request: admit, tokenize, queue, score, rank.

START HERE: `Reranker.rerank` is the whole service in one function. gRPC and REST both call it.
"""

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

from rerank_service.encoding.pair_key import PairKeys
from rerank_service.encoding.preparer import Preparer, check_chars
from rerank_service.encoding.reading_plan import ReadingPlan, reading_plan
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.live_request import LiveRequest, OnScores
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ServedModel
from rerank_service.quantities import counted
from rerank_service.ranking.document import Reader, SentDocument
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import OnWork
from rerank_service.scheduling.admission import Ticket
from rerank_service.scheduling.admissions import Admissions
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.fair_threads import FairThreads
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.submission import Submission

T = TypeVar("T")
ANYBODY = Caller()
"""The caller of requests without an API key."""


class Reranker:
    """Ranks the documents of requests. Used on the event loop."""

    def __init__(
        self, registry: Registry, admissions: Admissions, limits: RequestLimits, tokenizing: FairThreads | None = None
    ) -> None:
        """`tokenizing` runs the tokenizers, which block and release the GIL. None: the event loop's own executor."""
        self._registry = registry
        self._admissions = admissions
        self._tokenizing = tokenizing
        self.limits = limits

    async def rerank(
        self,
        request: RerankRequest,
        documents: Sequence[Any],
        *,
        reader: Reader,
        deadline: Deadline,
        caller: Caller = ANYBODY,
        on_work: OnWork | None = None,
    ) -> Ranking:
        """Return the ranking of documents that have all arrived.

        `documents` are in the form of the protocol, which `reader` reads. `caller` has a share of the lanes and limits.
        `on_work` receives the work of an accepted request when it ends, with or without an error.

        Raises:
            RequestError: the request cannot be answered; `errors.py` lists the reasons.
        """
        _check_count(len(documents), self.limits.max_documents)
        self._check_texts(request)
        async with self._model(request, caller).use(deadline) as model:
            plan = self._plan(request, model)
            sent = _with_chars(documents, reader)
            estimate_tokens = model.tokenizer.token_estimate(request.query, plan, instruction=request.instruction)
            tokens = sum(estimate_tokens(document.chars, document.query_chars) for document in sent)
            speed = model.scheduler.tokens_per_second(min(tokens / len(sent), model.tokenizer.max_tokens))
            with (
                caller.quota.charge(tokens) as charge,
                self._admit(model, len(sent), tokens, deadline, speed, caller.weight) as ticket,
            ):
                live = LiveRequest(
                    request=request,
                    model=model,
                    reader=reader,
                    plan=plan,
                    ticket=ticket,
                    charge=charge,
                    weight=caller.weight,
                    estimate_tokens=estimate_tokens,
                    max_windows=self.limits.max_windows,
                    on_work=on_work,
                )
                async with deadline.enforced():
                    return await self._rank(live, _once(sent))

    async def rerank_stream(
        self,
        request: RerankRequest,
        chunks: AsyncIterable[Sequence[Any]],
        *,
        reader: Reader,
        deadline: Deadline,
        deliver: Callable[[Ranking], Awaitable[None]],
        caller: Caller = ANYBODY,
        on_scores: OnScores | None = None,
        cutoff: Cutoff | None = None,
        on_work: OnWork | None = None,
    ) -> None:
        """Rank documents that arrive in chunks, and pass the ranking to `deliver`.

        The next chunk is read when there is room for it (backpressure). `on_scores` receives results before the
        ranking, `on_work` the work when the request ends. The deadline includes `deliver`. With a cutoff, the ranking
        is partial: it holds the documents that are scored by then.

        The size of a stream is not known. So admission accepts it as if it were empty, and then counts the documents
        that arrive. If the key has used up its tokens, the stream waits. A stream with a cutoff is never late.

        Raises:
            RequestError: the request cannot be answered; `errors.py` lists the reasons.
        """
        self._check_texts(request)
        due = deadline if cutoff is None else Deadline(math.inf)
        async with self._model(request, caller).use(deadline) as model:
            speed = model.scheduler.tokens_per_second(model.tokenizer.max_tokens)
            with (
                caller.quota.charge_stream() as charge,
                self._admit(model, 0, 0.0, due, speed, caller.weight) as ticket,
            ):
                live = LiveRequest(
                    request=request,
                    model=model,
                    reader=reader,
                    plan=self._plan(request, model),
                    ticket=ticket,
                    charge=charge,
                    weight=caller.weight,
                    max_kept_bytes=self.limits.max_kept_bytes,
                    on_scores=on_scores,
                    cutoff=cutoff,
                    on_work=on_work,
                )
                async with deadline.enforced():
                    sent = _checked(chunks, reader, self.limits.max_stream_documents)
                    await deliver(await self._rank(live, sent))

    async def _rank(self, live: LiveRequest, chunks: AsyncIterable[Sequence[SentDocument]]) -> Ranking:
        """Score the documents of a request, and return their ranking."""
        scheduler, priority = live.model.scheduler, live.request.priority
        with (
            scheduler.submission(room=self.limits.room, priority=priority, weight=live.weight) as submission,
            live.cutoff.arm(submission.end_early) if live.cutoff else nullcontext(),
            _reporting_work(live, submission),
        ):
            async with _feeding(self._feed(live, chunks, submission), submission):
                async for scored in submission:
                    await live.record(scored)
                missing = None if submission.is_complete else live.board.missing(live.received)
        return Ranking(
            model=live.model.info.name,
            order=live.board.order(),
            usage=live.meter.usage(),
            timing=live.meter.timing(submission.first_added),
            board=live.board,
            missing=missing,
            query_truncated=live.query_truncated,
        )

    async def _feed(
        self, live: LiveRequest, chunks: AsyncIterable[Sequence[SentDocument]], submission: Submission
    ) -> None:
        """Tokenize the query, then read and tokenize the documents as they arrive, and queue their pairs."""
        with live.meter.tokenizing():
            preparer = await self._blocking(live.model, partial(self._preparer, live))
        live.meter.query_tokens = preparer.query.query_tokens
        async for sent in chunks:
            live.receive(len(sent))
            for part in _parts(sent, self.limits):
                await live.paid()
                with live.meter.tokenizing():
                    prepared = await self._blocking(live.model, partial(preparer.prepare, part, len(live.board)))
                await submission.add(live.add_documents(prepared, submission))

    def _preparer(self, live: LiveRequest) -> Preparer:
        """Encode the query, and return the preparer of the request's documents. Blocks."""
        query = live.model.tokenizer.encode_query(live.request.query, live.request.instruction, live.plan.pair)
        return Preparer(
            request=live.request,
            plan=live.plan,
            tokenizer=live.model.tokenizer,
            reader=live.reader,
            query=query,
            keys=PairKeys(query, live.model.identity),
            max_chars=self.limits.max_document_chars,
        )

    def _admit(
        self, model: ServedModel, documents: int, tokens: float, deadline: Deadline, speed: float, weight: float
    ) -> AbstractContextManager[Ticket]:
        admission = self._admissions.of(model.info.name)
        return admission.admit(documents, tokens, deadline, speed, weight, model.scheduler.lanes_share)

    def _model(self, request: RerankRequest, caller: Caller) -> RegisteredModel:
        """Return the model of a request, if its caller may use it."""
        model = self._registry.find(request.model)
        caller.check_model(self._registry.names_of(model))
        return model

    def _plan(self, request: RerankRequest, model: ServedModel) -> ReadingPlan:
        tokenizer = model.tokenizer
        return reading_plan(request, self.limits, max_tokens=tokenizer.max_tokens, template=tokenizer.template_tokens)

    async def _blocking(self, model: ServedModel, call: Callable[[], T]) -> T:
        if self._tokenizing is None:
            return await asyncio.get_running_loop().run_in_executor(None, call)
        return await self._tokenizing.run(model.info.name, call)

    def _check_texts(self, request: RerankRequest) -> None:
        check_chars("query", len(request.query), self.limits.max_query_chars)
        check_chars("instruction", len(request.instruction), self.limits.max_query_chars)


def _check_count(count: int, limit: int) -> None:
    if not count:
        raise InvalidRequest("documents must not be empty", field="documents", reason="empty_documents")
    if count > limit:
        raise TooLarge(
            f"documents has {counted(count, 'entry')}; the maximum is {limit:,}: send fewer documents in one request",
            field="documents",
            reason="too_many_documents",
        )


def _with_chars(documents: Sequence[Any], reader: Reader) -> list[SentDocument]:
    return [SentDocument(raw, reader.chars(raw), reader.query_chars(raw)) for raw in documents]


async def _once(documents: Sequence[SentDocument]) -> AsyncIterator[Sequence[SentDocument]]:
    yield documents


async def _checked(
    chunks: AsyncIterable[Sequence[Any]], reader: Reader, limit: int
) -> AsyncIterator[Sequence[SentDocument]]:
    """Yield the chunks of a stream.

    Raises:
        InvalidRequest: the stream has no documents, or too many.
    """
    count = 0
    async for documents in chunks:
        count += len(documents)
        if documents:
            _check_count(count, limit)
            yield _with_chars(documents, reader)
    _check_count(count, limit)


def _parts(sent: Sequence[SentDocument], limits: RequestLimits) -> Iterator[Sequence[SentDocument]]:
    """Split documents into parts, each short enough to be tokenized in one step."""
    start = chars = 0
    for at, document in enumerate(sent):
        own = document.chars + (document.query_chars or 0)
        full = at - start == limits.part_documents or chars + own > limits.part_chars
        if at > start and full:
            yield sent[start:at]
            start, chars = at, 0
        chars += own
    if start < len(sent):
        yield sent[start:]


@contextmanager
def _reporting_work(live: LiveRequest, submission: Submission) -> Iterator[None]:
    """Report the work of the request at the end of the block, also after an error."""
    try:
        yield
    finally:
        live.report_work(submission)


@asynccontextmanager
async def _feeding(feed: Awaitable[None], submission: Submission) -> AsyncIterator[None]:
    """Run the feed concurrently with the block. Its end, or its error, ends the iteration over the submission."""

    async def run() -> None:
        try:
            await feed
        except Exception as error:  # noqa: BLE001 - the iteration over the submission raises it
            submission.fail(error)
        else:
            submission.finish()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])

"""The flow of one request: admit, tokenize, queue, score, rank.

START HERE: `Reranker.rerank` is the whole service in one function. gRPC and REST both call it.
"""

import math
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

from rerank_service.encoding.pair_key import PairKeys
from rerank_service.encoding.preparer import PreparedDocument, Preparer, check_chars
from rerank_service.encoding.reading_plan import ReadingPlan, reading_plan
from rerank_service.encoding.sentence_pairs import prepare_sentences
from rerank_service.live_highlights import LiveHighlights
from rerank_service.live_request import LiveRequest, OnScores
from rerank_service.long_work import in_thread
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ServedModel
from rerank_service.ranking.document import Reader, SentDocument
from rerank_service.ranking.highlights import check_result_count
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import OnWork
from rerank_service.scheduling.admissions import Admissions
from rerank_service.scheduling.caller import ANYBODY, Caller
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.fair_threads import FairThreads
from rerank_service.scheduling.live_tickets import Ticket
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.quota import Charge
from rerank_service.scheduling.submission import Scored, Submission, feeding
from rerank_service.sent_documents import check_count, checked, items, once, parts, sized
from rerank_service.tokenizing import Tokenizing, estimate_by_length

T = TypeVar("T")
_SORTED_PER_ITEM = 100
"""Documents that count as one item of `in_thread`, because sorting is fast. So up to 25,000 documents are sorted on the
event loop, in a few milliseconds, and need not wait for a thread."""


class Reranker:
    """Ranks the documents of requests. Used on the event loop."""

    def __init__(
        self, registry: Registry, admissions: Admissions, limits: RequestLimits, tokenizing: FairThreads | None = None
    ) -> None:
        """`tokenizing` runs the tokenizers. None: the event loop's own executor."""
        self._registry = registry
        self._admissions = admissions
        self._tokenizing = Tokenizing(tokenizing)
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
        check_count(len(documents), self.limits.max_documents)
        self._check(request, len(documents))
        async with self._model(request, caller).use(deadline) as model:
            plan = self._plan(request, model)
            estimate_tokens = await self._tokenizing.estimate(request, plan, model, deadline)
            async with deadline.enforced():
                size = await in_thread(
                    partial(sized, documents, reader, request, estimate_tokens), items(documents, reader)
                )
            tokens, speed = size.tokens + size.highlight_tokens, model.scheduler.tokens_per_second(size.pair_tokens)
            with (
                caller.quota.charge(tokens) as charge,
                self._admit(model, request, len(documents), tokens, deadline, speed, caller) as ticket,
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
                    highlight_tokens=size.highlight_tokens,
                    max_windows=self.limits.max_windows,
                    on_work=on_work,
                )
                async with deadline.enforced():
                    return await self._rank(live, once(size.sent))

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
        self._check(request, None)
        due = deadline if cutoff is None else Deadline(math.inf)
        async with self._model(request, caller).use(deadline) as model:
            plan = self._plan(request, model)
            speed = model.scheduler.tokens_per_second(estimate_by_length(request, plan, model).longest_pair())
            with (
                caller.quota.charge_stream() as charge,
                self._admit(model, request, 0, 0.0, due, speed, caller) as ticket,
            ):
                live = LiveRequest(
                    request=request,
                    model=model,
                    reader=reader,
                    plan=plan,
                    ticket=ticket,
                    charge=charge,
                    weight=caller.weight,
                    max_kept_bytes=self.limits.max_kept_bytes,
                    on_scores=on_scores,
                    cutoff=cutoff,
                    on_work=on_work,
                )
                async with deadline.enforced():
                    sent = checked(chunks, reader, self.limits.max_stream_documents)
                    await deliver(await self._rank(live, sent))

    async def _rank(self, live: LiveRequest, chunks: AsyncIterable[Sequence[SentDocument]]) -> Ranking:
        """Score the documents of a request, and return their ranking, with highlights if they are asked for."""
        with _ending(live):
            complete = await self._score(live, partial(self._feed, live, chunks), live.record)
            board, received = live.board, live.received
            size = received // _SORTED_PER_ITEM
            missing = None if complete else await in_thread(partial(board.missing, received), size)
            order = await in_thread(board.order, size)
            if complete and live.request.highlights:
                highlights = LiveHighlights(live, order)
                await self._score(live, partial(self._feed_sentences, live, highlights), highlights.record)
                highlights.finish()
        return Ranking(
            model=live.model.info.name,
            version=live.model.info.version,
            order=order,
            usage=live.usage,
            timing=live.timing,
            board=live.board,
            missing=missing,
            query_truncated=live.query_truncated,
        )

    async def _score(
        self,
        live: LiveRequest,
        feed: Callable[[Submission], Awaitable[None]],
        record: Callable[[Scored], Awaitable[None]],
    ) -> bool:
        """Score the pairs that `feed` queues, and pass their logits to `record`.

        Return False if the cutoff came first.
        """
        with live.scoring(self.limits) as submission:
            try:
                async with feeding(feed, submission):
                    async for scored in submission:
                        await record(scored)
            finally:  # pairs that ran are charged, also if the request failed or was cancelled before they were taken
                for scored in submission.end(partial(_charge, live.charge)):
                    live.count(scored)
            return submission.is_complete

    async def _feed(
        self, live: LiveRequest, chunks: AsyncIterable[Sequence[SentDocument]], submission: Submission
    ) -> None:
        """Tokenize the query, read and tokenize the documents as they arrive, and queue their pairs."""
        if live.is_stream:
            live.use_preparer(await self._tokenize(live, partial(self._preparer, live)))
        async for sent in chunks:
            live.receive(len(sent))
            for part in parts(sent, self.limits):
                await live.paid()
                await live.memory_free()
                preparer, prepared = await self._tokenize(live, partial(self._prepare, live, part, len(live.board)))
                live.use_preparer(preparer)
                await submission.add(live.add_documents(prepared, submission))

    async def _feed_sentences(self, live: LiveRequest, highlights: LiveHighlights, submission: Submission) -> None:
        """Split the documents of the ranking into sentences, tokenize them, and queue their pairs."""
        assert live.preparer is not None
        for part in highlights.parts():
            await live.paid()
            prepared = await self._tokenize(live, partial(prepare_sentences, live.preparer, part))
            await submission.add(highlights.add(prepared, submission))

    def _prepare(
        self, live: LiveRequest, part: Sequence[SentDocument], first: int
    ) -> tuple[Preparer, list[PreparedDocument]]:
        """Return the preparer of the request, and the documents that it prepared. Blocks.

        `first` is the index of the first document. The first part of a request encodes the query, too: with a call of
        its own for the query, the request would wait for a thread twice.
        """
        preparer = live.preparer or self._preparer(live)
        return preparer, preparer.prepare(part, first)

    def _preparer(self, live: LiveRequest) -> Preparer:
        """Encode the query, and return the preparer of the request's documents. Blocks."""
        query = live.model.tokenizer.encode_query(live.request.query, live.request.instruction, live.plan.pair)
        return Preparer(
            request=live.request,
            plan=live.plan,
            plan_of=partial(self._plan, model=live.model),
            tokenizer=live.model.tokenizer,
            reader=live.reader,
            query=query,
            keys=PairKeys(query, live.model.identity),
            max_chars=self.limits.max_document_chars,
        )

    def _admit(
        self,
        model: ServedModel,
        request: RerankRequest,
        documents: int,
        tokens: float,
        deadline: Deadline,
        speed: float,
        caller: Caller,
    ) -> AbstractContextManager[Ticket]:
        admission, share = self._admissions.of(model.info.name), model.scheduler.lanes_share
        return admission.admit(documents, tokens, deadline, speed, caller.weight, share, request.priority)

    def _model(self, request: RerankRequest, caller: Caller) -> RegisteredModel:
        """Return the model of a request, if its caller may use it."""
        model = self._registry.find(request.model)
        caller.check_model(self._registry.names_of(model))
        return model

    def _plan(self, request: RerankRequest, model: ServedModel) -> ReadingPlan:
        tokenizer = model.tokenizer
        return reading_plan(request, self.limits, max_tokens=tokenizer.max_tokens, template=tokenizer.template_tokens)

    async def _tokenize(self, live: LiveRequest, call: Callable[[], T]) -> T:
        with live.meter.tokenizing():
            return await self._tokenizing.run(live.model, call)

    def _check(self, request: RerankRequest, documents: int | None) -> None:
        """Check a request. `documents` is the number of its documents; None for a stream."""
        check_result_count(request, documents, self.limits.max_highlighted_results)
        check_chars("query", len(request.query), self.limits.max_query_chars)
        check_chars("instruction", len(request.instruction), self.limits.max_query_chars)


def _charge(charge: Charge, scored: Scored) -> None:
    charge.use(scored.tokens)


@contextmanager
def _ending(live: LiveRequest) -> Iterator[None]:
    """End the request at the end of the block, also after an error."""
    try:
        yield
    finally:
        live.end()

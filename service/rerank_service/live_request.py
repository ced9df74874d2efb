"""The state of one request while it is scored."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from rerank_service.encoding.duplicates import Duplicates
from rerank_service.encoding.preparer import PreparedDocument, Preparer
from rerank_service.encoding.reading_plan import ReadingPlan
from rerank_service.encoding.token_estimate import TokenEstimate
from rerank_service.errors import TooLarge
from rerank_service.models.served_model import ServedModel
from rerank_service.quantities import counted
from rerank_service.ranking.document import Reader
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import OnWork, RankedDocument, Timing, Usage, Work
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.scheduling.batching import KeyedPair
from rerank_service.scheduling.live_tickets import Ticket
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.quota import Charge
from rerank_service.scheduling.submission import Scored, Submission
from rerank_service.usage_meter import UsageMeter

OnScores = Callable[[Iterator[RankedDocument]], Awaitable[None]]
"""Receives the results of documents as soon as they are scored, before the ranking."""


@dataclass(slots=True, kw_only=True)
class LiveRequest:
    """An accepted request that is not finished yet. Used on the event loop only."""

    request: RerankRequest
    model: ServedModel
    reader: Reader
    plan: ReadingPlan
    """The part of each document that is scored, and the size of its windows."""
    ticket: Ticket
    charge: Charge
    """The tokens of the request at the limit of its key."""
    weight: float
    """Share of the lanes, relative to the weights of other requests."""
    estimate_tokens: TokenEstimate | None = None
    """The estimate that admission used. None: admission counted no documents."""
    highlight_tokens: float = 0.0
    """Estimated tokens of the sentences to highlight, as admission counted them."""
    max_windows: int | None = None
    """Maximum number of windows beyond the first window of each document. None: no limit."""
    max_kept_bytes: int | None = None
    """Maximum memory of scored documents to return, in bytes, and of those in progress. None: no limit."""
    on_scores: OnScores | None = None
    cutoff: Cutoff | None = None
    """The cutoff of a request that accepts a partial ranking."""
    on_work: OnWork | None = None
    received: int = field(init=False, default=0)
    """Number of documents received, whether or not they are on the board yet."""
    query_truncated: bool = field(init=False, default=False)
    """True if a query was cut: the request's, or a document's own."""
    preparer: Preparer | None = field(init=False, default=None)
    """Prepares the documents. None: the query is not encoded yet."""
    board: Scoreboard = field(init=False)
    meter: UsageMeter = field(init=False)
    usage: Usage = field(init=False)
    """The work of the request. Set when it ends, as the times are."""
    timing: Timing = field(init=False)
    _duplicates: Duplicates = field(init=False, default_factory=Duplicates)
    _recorded: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    """Set when logits are recorded."""
    _submissions: list[Submission] = field(init=False, default_factory=list)
    """Its pairs: those of the documents, then those of the sentences to highlight."""

    def __post_init__(self) -> None:
        self.board = Scoreboard(
            self.request, self.model.activation, self.model.calibration, max_kept_bytes=self.max_kept_bytes
        )
        self.meter = UsageMeter(self.model.scheduler.clock)

    @property
    def is_stream(self) -> bool:
        """True if documents may arrive later than the query. Admission counted none of them."""
        return self.estimate_tokens is None

    def use_preparer(self, preparer: Preparer) -> None:
        """Prepare the documents with this preparer, which has the encoded query."""
        self.preparer = preparer
        self.meter.query_tokens = preparer.query.query_tokens
        self.meter.lead_tokens = preparer.query.lead_tokens

    def receive(self, documents: int) -> None:
        """Count documents that arrived."""
        self.received += documents
        self._reserve_time()

    def _reserve_time(self) -> None:
        """Set the cutoff early enough for the response with the documents that are scored by now."""
        if self.cutoff is not None:
            self.cutoff.reserve_for(self.board.response_bytes(self.received))

    async def paid(self) -> None:
        """Let a stream wait until its key has tokens again. Other requests took theirs when they were accepted."""
        if self.is_stream:
            await self.charge.paid()

    async def memory_free(self) -> None:
        """Wait while the documents in progress exceed `max_kept_bytes`."""
        while self.max_kept_bytes is not None and self.board.unscored_bytes > self.max_kept_bytes:
            self._recorded.clear()
            await self._recorded.wait()

    def add_documents(self, prepared: Sequence[PreparedDocument], submission: Submission) -> list[KeyedPair]:
        """Put documents on the board, deliver the logits that are already known, and correct the ticket. Return the
        pairs that must be scored.

        Logits are known for duplicates of scored documents, and for pairs in the score cache. A duplicate of a document
        that is not scored yet waits for it.

        Raises:
            TooLarge: the documents have too many windows.
        """
        self.query_truncated |= any(document.query_truncated for document in prepared)
        originals = self._add_to_board(prepared, submission)
        self._check_windows()
        unscored = self.uncached([keyed for document in originals for keyed in document.pairs], submission)
        self.correct_estimate(self.estimate_tokens.total(prepared) if self.estimate_tokens else 0.0, unscored)
        return unscored

    def _add_to_board(self, prepared: Sequence[PreparedDocument], submission: Submission) -> list[PreparedDocument]:
        """Put documents on the board, and return those that are no duplicates. A duplicate gets the score of its
        original: now, or when the original is scored."""
        originals: list[PreparedDocument] = []
        known: dict[int, float] = {}
        for document in prepared:
            original = self._duplicates.original(document.key, document.index)
            duplicate = original != document.index
            self.board.add(document.document, truncated=document.truncated, spans=document.spans, duplicate=duplicate)
            if not duplicate:
                originals.append(document)
            elif (logit := self.board.logit(original)) is not None:
                self.board.copy_best_window(document.index, original)
                known[document.index] = logit
            else:
                self._duplicates.wait(original, document.index)
        if known:
            submission.add_known(list(known), list(known.values()))
        return originals

    def _check_windows(self) -> None:
        if self.max_windows is not None and self.board.windows - len(self.board) > self.max_windows:
            raise TooLarge(
                f"the documents make more than {counted(self.max_windows, 'window')} beyond their first ones: "
                "set a smaller max_tokens_per_doc or max_chunks_per_doc, or send fewer documents",
                field="documents",
                reason="too_many_windows",
            )

    def uncached(self, pairs: list[KeyedPair], submission: Submission) -> list[KeyedPair]:
        """Deliver the pairs whose logits are cached, and return the others."""
        logits = self.model.scheduler.cached_logits([keyed.key for keyed in pairs])
        cached = [(keyed, logit) for keyed, logit in zip(pairs, logits, strict=True) if logit is not None]
        if not cached:
            return pairs
        submission.add_known(
            [keyed.index for keyed, _ in cached],
            [logit for _, logit in cached],
            windows=[keyed.pair.window for keyed, _ in cached],
            shared=len(cached),
        )
        return [keyed for keyed, logit in zip(pairs, logits, strict=True) if logit is None]

    def correct_estimate(self, estimated: float, unscored: Sequence[KeyedPair]) -> None:
        """Replace estimated tokens on the ticket by the tokens of the pairs that must be scored, and charge a stream
        with them."""
        limits = self.model.scheduler.limits
        if self.estimate_tokens is None:
            self.charge.take(sum(len(keyed.pair) for keyed in unscored))
        self.ticket.reduce(estimated - sum(limits.padded(len(keyed.pair)) for keyed in unscored))

    async def record(self, scored: Scored) -> None:
        """Record the logits of pairs, also for their duplicates, and pass new results to `on_scores`: not after the
        cutoff, when the ranking follows at once."""
        self.count(scored)
        finished: list[int] = []
        for index, window, logit in zip(scored.indexes, scored.windows, scored.logits, strict=True):
            if self.board.record(index, logit, window):
                finished.append(index)
                for duplicate in self._duplicates.pop_waiting(index):
                    self.board.copy_score(duplicate, index)
                    finished.append(duplicate)
        self._recorded.set()
        self._reserve_time()
        if self.on_scores is not None and finished and not self._submissions[-1].has_ended_early:
            await self.on_scores(self.board.results(finished))

    def count(self, scored: Scored) -> None:
        """Count the work of pairs that were scored."""
        self.meter.count(scored)
        self.charge.use(scored.tokens)
        self.ticket.reduce(scored.own_tokens)

    @contextmanager
    def scoring(self, limits: RequestLimits) -> Iterator[Submission]:
        """Queue and score pairs during the block. The cutoff of the request ends it early."""
        with (
            self.model.scheduler.submission(
                room=limits.room, priority=self.request.priority, weight=self.weight
            ) as submission,
            self.cutoff.arm(submission.end_early) if self.cutoff else nullcontext(),
        ):
            self._reserve_time()
            self._submissions.append(submission)
            yield submission

    @property
    def _first_added(self) -> float | None:
        return next((each.first_added for each in self._submissions if each.first_added is not None), None)

    def end(self) -> None:
        """Set usage and times, and pass the work to `on_work`. Call it when the request ends, also by an error."""
        self.usage = self.meter.usage()
        self.timing = self.meter.timing(self._first_added)
        if self.on_work is None:
            return
        self.on_work(
            Work(
                model=self.model.info.name,
                documents=self.received,
                usage=self.usage,
                timing=self.timing,
                stages=self.meter.stages(self._first_added),
                forecast=self.ticket.forecast if all(each.is_complete for each in self._submissions) else None,
            )
        )

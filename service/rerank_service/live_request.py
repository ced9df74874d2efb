"""The state of one request while it is scored."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rerank_service.encoding.duplicates import Duplicates
from rerank_service.encoding.preparer import Keyed, Prepared
from rerank_service.encoding.windows import Reading
from rerank_service.errors import TooLarge
from rerank_service.models.served_model import ServedModel
from rerank_service.quantities import counted
from rerank_service.ranking.document import Reader
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import RankedDocument
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.scheduling.admission import Ticket
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.submission import Scored, Submission
from rerank_service.scheduling.usage_meter import UsageMeter

OnScores = Callable[[Iterator[RankedDocument]], Awaitable[None]]
"""Receives the results of documents as soon as they are scored, before the ranking."""


@dataclass(slots=True, kw_only=True)
class LiveRequest:
    """One request that has been admitted and is not answered yet."""

    request: RerankRequest
    model: ServedModel
    reader: Reader
    reading: Reading
    ticket: Ticket
    board: Scoreboard
    meter: UsageMeter
    weight: float = 1.0
    """Share of the lanes that the request gets."""
    estimate: Callable[[int], float] | None = None
    """Estimated tokens of a document by its characters, as the ticket was issued for. None: the ticket was issued
    without documents."""
    max_windows: int | None = None
    """Maximum number of windows beyond the first window of each document."""
    on_scores: OnScores | None = None
    cutoff: Cutoff | None = None
    received: int = 0
    """Documents received, whether or not they are on the board yet."""
    _duplicates: Duplicates = field(default_factory=Duplicates)

    def receive(self, documents: int) -> None:
        """Count documents that arrived."""
        self.received += documents
        if self.cutoff is not None:
            self.cutoff.expect(self.board.answer_bytes(self.received))

    def add(self, prepared: Sequence[Prepared], submission: Submission) -> list[Keyed]:
        """Put documents on the board, and return the pairs that must be scored.

        No pair is returned for a copy of an earlier document, nor for a pair whose score is in the score cache.

        Raises:
            TooLarge: the documents make too many windows.
        """
        originals = self._settle_copies(prepared, submission)
        self._check_windows()
        unscored = self._settle_cached(originals, submission)
        self._report_progress(prepared, unscored)
        return unscored

    def _settle_copies(self, prepared: Sequence[Prepared], submission: Submission) -> list[Prepared]:
        """Put documents on the board, and return those that copy no other. A copy gets the score of its original: now,
        or when the original has one."""
        originals: list[Prepared] = []
        copies: dict[int, float] = {}
        for document in prepared:
            original = self._duplicates.original(document.key, document.index)
            copied = original != document.index
            self.board.add(document.document, truncated=document.truncated, spans=document.spans, copied=copied)
            if not copied:
                originals.append(document)
            elif (logit := self.board.logit(original)) is not None:
                self.board.resemble(document.index, original)
                copies[document.index] = logit
            else:
                self._duplicates.wait(original, document.index)
        if copies:
            submission.repeat(list(copies), list(copies.values()))
        return originals

    def _check_windows(self) -> None:
        if self.max_windows is not None and self.board.windows - len(self.board) > self.max_windows:
            raise TooLarge(
                f"the documents make more than {counted(self.max_windows, 'window')} beyond their first ones: "
                "set a smaller max_tokens_per_doc or max_chunks_per_doc, or send fewer documents",
                field="documents",
                reason="too_many_windows",
            )

    def _settle_cached(self, originals: Sequence[Prepared], submission: Submission) -> list[Keyed]:
        """Settle the pairs whose scores are cached, and return the others."""
        wanted = [pair for document in originals for pair in document.pairs]
        logits = self.model.scheduler.known([key for *_, key in wanted])
        known = [(pair, logit) for pair, logit in zip(wanted, logits, strict=True) if logit is not None]
        if not known:
            return wanted
        submission.repeat(
            [index for (index, *_), _ in known],
            [logit for _, logit in known],
            windows=[pair.window for (_, pair, _), _ in known],
            shared=len(known),
        )
        return [pair for pair, logit in zip(wanted, logits, strict=True) if logit is None]

    def _report_progress(self, prepared: Sequence[Prepared], unscored: Sequence[Keyed]) -> None:
        """Replace the estimated tokens on the ticket by the tokens of the pairs that will run."""
        estimated = sum(self.estimate(document.chars) for document in prepared) if self.estimate else 0.0
        self.ticket.progress(estimated - sum(self.model.scheduler.padded(len(pair)) for _, pair, _ in unscored))

    async def settle(self, scored: Scored) -> None:
        """Record the scores of a batch, also for copies, and pass new results on."""
        self.meter.scored(scored)
        self.ticket.progress(scored.own_tokens)
        settled: list[int] = []
        for index, window, logit in zip(scored.positions, scored.windows, scored.logits, strict=True):
            if self.board.settle(index, logit, window):
                settled.append(index)
                for copy in self._duplicates.take(index):
                    self.board.repeat(copy, index)
                    settled.append(copy)
        if self.on_scores is not None and settled:
            await self.on_scores(self.board.results(settled))

"""Run batches, and tell a pair on which the model fails from an engine that fails on every pair."""

import math
from collections.abc import Sequence

from rerank_service.error_text import one_line
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batch_run import BatchRunner, BatchScored, Outcome, PairFailed
from rerank_service.scheduling.submission import WaitingPair
from rerank_service.tools.nothing_scored import NothingScored


class CheckedBatches:
    """Runs batches. After a failure, a short pair is scored, and each failed pair is tried once more."""

    def __init__(self, runner: BatchRunner, short: WaitingPair) -> None:
        """`short` is a pair that every working model scores."""
        self._runner = runner
        self._short = short

    def run(self, entries: Sequence[WaitingPair], token: CancelToken) -> list[Outcome]:
        """Score pairs, and return the outcomes of the batches into which they were split. Blocks. Thread-safe.

        Raises:
            NothingScored: the model fails on the short pair, too.
            WeightsChanged: the files of the model were changed, so that no pair can be scored.
        """
        outcomes = list(self._runner.run(entries, token))
        if any(map(_problem, outcomes)):
            self._check(token)
        return [again for outcome in outcomes for again in self._repeated(outcome, token)]

    def _check(self, token: CancelToken) -> None:
        """Check that the model scores the short pair."""
        for problem in filter(None, map(_problem, self._runner.run([self._short], token))):
            raise NothingScored.by("the model", problem)

    def _repeated(self, outcome: Outcome, token: CancelToken) -> Sequence[Outcome]:
        return list(self._runner.run([outcome.entry], token)) if isinstance(outcome, PairFailed) else [outcome]


def _problem(outcome: Outcome) -> str:
    """Return why a pair of an outcome has no usable score; empty if all have one."""
    if isinstance(outcome, PairFailed):
        return one_line(outcome.error.__cause__ or outcome.error)
    if isinstance(outcome, BatchScored) and not all(map(math.isfinite, outcome.logits)):
        return "it returns scores that are no numbers"
    return ""

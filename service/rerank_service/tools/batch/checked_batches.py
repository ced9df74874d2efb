"""Run batches, and tell a pair on which the model fails from an engine that fails on every pair."""

from collections.abc import Sequence

from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batch_run import BatchRunner, Outcome, PairFailed
from rerank_service.scheduling.batching import EncodedPair
from rerank_service.scheduling.engine_check import EngineCheck, problem
from rerank_service.scheduling.submission import WaitingPair


class CheckedBatches:
    """Runs batches. After a failure, a short pair is scored, and each failed pair is tried once more."""

    def __init__(self, runner: BatchRunner, short: EncodedPair, *, model: str) -> None:
        """`short` is a pair that every working model scores. `model` is the name for the error."""
        self._runner = runner
        self._check = EngineCheck(runner, short, model=model)

    def run(self, entries: Sequence[WaitingPair], token: CancelToken) -> list[Outcome]:
        """Score pairs, and return the outcomes of the batches into which they were split. Blocks. Thread-safe.

        Raises:
            NothingScored: the model fails on the short pair, too.
            WeightsChanged: the files of the model were changed, so that no pair can be scored.
        """
        outcomes = list(self._runner.run(entries, token))
        if any(map(problem, outcomes)):
            self._check.run(entries[0], token)
        return [again for outcome in outcomes for again in self._repeated(outcome, token)]

    def _repeated(self, outcome: Outcome, token: CancelToken) -> Sequence[Outcome]:
        return list(self._runner.run([outcome.entry], token)) if isinstance(outcome, PairFailed) else [outcome]

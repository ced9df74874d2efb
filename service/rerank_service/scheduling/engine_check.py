"""Tell pairs on which a model fails from an engine that fails on every pair, such as one whose GPU is lost.

Such an engine fails at once and for good. A server that went on would be ready, and reject each request with an error
that clients do not retry.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rerank_service.error_text import one_line
from rerank_service.errors import OutOfMemory
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batch_run import BatchRunner, BatchScored, Outcome, PairFailed
from rerank_service.scheduling.batching import EncodedPair
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.scheduling.submission import WaitingPair


def problem(outcome: Outcome) -> str:
    """Return why a pair of an outcome has no usable score; empty if all have one."""
    if isinstance(outcome, PairFailed):
        return one_line(outcome.error.__cause__ or outcome.error)
    if isinstance(outcome, BatchScored) and not all(map(math.isfinite, outcome.logits)):
        return "it returns scores that are no numbers"
    return ""


class EngineCheck:
    """Scores a short pair to find out whether the engine works. Thread-safe."""

    def __init__(
        self, runner: BatchRunner, short: EncodedPair, found: Callable[[Outcome], str] = problem, *, model: str = ""
    ) -> None:
        """`short` is a pair that every working engine scores. `found` returns why its outcome shows that the engine is
        broken; empty if it does not. `model` is the name for the error."""
        self._runner = runner
        self._short = short
        self._found = found
        self._model = model

    def run(self, beside: WaitingPair, token: CancelToken) -> None:
        """Score the short pair in place of `beside`, a pair that failed. Blocks.

        Raises:
            NothingScored: the model fails on the short pair, too, as `found` says.
            WeightsChanged: the files of the model were changed, so that no pair can be scored.
        """
        short = replace(beside, pair=self._short, key=None)
        for found in filter(None, map(self._found, self._runner.run([short], token))):
            raise NothingScored.by_model(self._model, found)


class CheckedRunner:
    """Runs batches, and checks the engine after a batch in which no pair was scored."""

    def __init__(self, runner: BatchRunner, short: EncodedPair | None, *, model: str = "") -> None:
        """`short` is a pair that every working engine scores. None: the engine is not checked. `model` is the name for
        the error."""
        self._runner = runner
        self._check = None if short is None else EngineCheck(runner, short, _lasting_problem, model=model)

    def run(self, entries: Sequence[WaitingPair], token: CancelToken) -> Iterator[Outcome]:
        """Score pairs, and yield the outcome of the batch, or of the parts into which it was split. Blocks.

        Parts without any score come last, after the check. The check takes no longer than one of their pairs, so
        callers with such pairs cannot slow down others much. A batch that lacks memory is not followed by a check,
        and a check that lacks memory finds nothing.

        Raises:
            NothingScored: the engine fails on every pair.
            WeightsChanged: the files of the model were changed, so that no pair can be scored.
        """
        unscored: list[Outcome] = []
        works = False
        for outcome in self._runner.run(entries, token):
            if _has_no_score(outcome):
                unscored.append(outcome)
            else:
                works = works or isinstance(outcome, BatchScored)
                yield outcome
        if self._check is not None and unscored and not works:
            self._check.run(entries[0], CancelToken())  # it also counts if the requests have gone
        yield from unscored


def _lasting_problem(outcome: Outcome) -> str:
    """Return why a short pair has no usable score; empty after a lack of memory, which may pass."""
    return problem(outcome) if _has_no_score(outcome) else ""


def _has_no_score(outcome: Outcome) -> bool:
    """Return whether a part of a batch ran, had memory enough, and no pair of it has a usable score."""
    if isinstance(outcome, BatchScored):
        return not any(map(math.isfinite, outcome.logits))
    return isinstance(outcome, PairFailed) and not isinstance(outcome.error, OutOfMemory)

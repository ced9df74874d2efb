"""Describe why a tuning keeps the base engine although a faster one may match its ranking."""

from dataclasses import replace

from rerank_service.engine.kinds import Engine
from rerank_service.models.tuning.engine_choice import TuningOutcome, base_name
from rerank_service.models.tuning.record import EngineMeasurement
from rerank_service.quantities import counted


def explain_undecided(
    outcome: TuningOutcome, base: Engine, seconds: float | None = None, *, full: bool = False
) -> TuningOutcome:
    """Return the outcome with the engines that are not decided in the verdict on the base engine.

    Without such engines, or if another engine than the base is chosen, the outcome is unchanged. `seconds` is the time
    limit that ended the tuning; None: the limit was not reached, but an engine did not load this time. `full`: the
    tuning is that of `rerank tune`, so this command is no next step.
    """
    if outcome.final or outcome.chosen != base:
        return outcome
    limit, next_step = "", "" if full else ": run `rerank tune` to try again"
    if seconds is not None:
        limit, next_step = f" within {seconds:g} s", ": run `rerank tune`, or raise RERANK_TUNE_SECONDS"
    verdict = f"{base_name(base)}; not decided{limit}: {', '.join(_undecided(outcome, base))}{next_step}"
    return outcome.with_verdict(base, verdict)


def _undecided(outcome: TuningOutcome, base: Engine) -> list[str]:
    """Return a phrase for each engine that is not decided, the fastest first."""
    without_graphs = replace(base, cuda_graphs=False)  # as in measurements
    base_speed = next(trial.tokens_per_second for trial in outcome.trials if trial.engine == without_graphs)
    measured = [_measured(trial, base_speed) for trial in outcome.trials if trial.undecided]
    return [*measured, *(f"{skipped.engine} not measured" for skipped in outcome.skipped if skipped.transient)]


def _measured(trial: EngineMeasurement, base_speed: float) -> str:
    compared = f"compared on {counted(trial.queries, 'query')} only" if trial.queries else "not compared"
    return f"{trial.engine} {trial.tokens_per_second / base_speed:.2f} times as fast, ranking {compared}"

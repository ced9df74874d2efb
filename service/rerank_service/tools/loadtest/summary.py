"""Summary of the calls of one load level: throughput, latency and errors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerank_service.tools.loadtest.generator import Outcome


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` % of the values do not exceed; 0 without values.

    The result is always one of the values (numpy's method `inverted_cdf`).
    """
    return float(np.percentile(values, percent, method="inverted_cdf")) if values else 0.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of call durations, in seconds; 0 without calls."""

    p50: float
    p95: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Return the percentiles of durations in seconds."""
        return cls(*(percentile(seconds, percent) for percent in (50, 95, 99, 100)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Measurements of the calls of one load level. A call is answered if its response ranks all documents."""

    requests: int
    """Number of calls."""
    answered: int
    """Number of answered calls."""
    documents: int
    """Number of documents of the answered calls."""
    seconds: float
    """Time from the start of the first call to the end of the last."""
    started_per_second: float
    """Calls that started per second, from the start of the first to that of the last; 0 for fewer than two calls."""
    latency: Latency
    """Durations of the answered calls. Those of an open loop count from the time at which the call was due."""
    refusals: Latency
    """Durations of the calls that the server rejected because of overload or unavailability."""
    errors: dict[str, int]
    """Number of failed calls by kind, the most frequent first."""
    messages: dict[str, str]
    """Message of the first failed call of each kind."""
    tokens: int
    """Tokens of all answered pairs, without padding; 0 if the server does not report them."""
    padded_tokens: int
    """Computed tokens of all answered pairs, with padding; 0 if the server does not report them."""

    @property
    def documents_per_second(self) -> float:
        """Answered documents per second of the whole time."""
        return self.documents / self.seconds if self.seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """Answered calls per second of the whole time."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens of answered pairs, without padding, per second of the whole time."""
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def padding(self) -> float | None:
        """Padded tokens / tokens; None if the server does not report them."""
        return self.padded_tokens / self.tokens if self.tokens and self.padded_tokens else None


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """Summarise the calls of one load level."""
    usages = [outcome.usage for outcome in outcomes if outcome.usage is not None]
    answered = [outcome for outcome in outcomes if outcome.error is None]
    errors = Counter(outcome.error for outcome in outcomes if outcome.error is not None)
    first = min((outcome.begun for outcome in outcomes), default=0.0)
    last = max((outcome.ended for outcome in outcomes), default=0.0)
    return Summary(
        requests=len(outcomes),
        answered=len(answered),
        documents=sum(outcome.documents for outcome in answered),
        seconds=last - first,
        started_per_second=_started_per_second(outcomes),
        latency=Latency.of([outcome.seconds for outcome in answered]),
        refusals=Latency.of([outcome.seconds for outcome in outcomes if outcome.refused]),
        errors=dict(errors.most_common()),
        messages={outcome.error: outcome.message for outcome in reversed(outcomes) if outcome.error is not None},
        tokens=sum(usage.tokens for usage in usages),
        padded_tokens=sum(usage.padded_tokens for usage in usages),
    )


def _started_per_second(outcomes: Sequence[Outcome]) -> float:
    starts = [outcome.begun for outcome in outcomes]
    seconds = max(starts, default=0.0) - min(starts, default=0.0)
    return (len(starts) - 1) / seconds if seconds else 0.0

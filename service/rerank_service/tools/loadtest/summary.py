"""Outcomes as figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerank_service.tools.loadtest.generator import Outcome


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that so many percent do not exceed: always one that was really seen. 0 of none."""
    return float(np.percentile(values, percent, method="inverted_cdf")) if values else 0.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of calls."""

    p50: float
    p95: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Zeros of none."""
        return cls(*(percentile(seconds, percent) for percent in (50, 95, 99, 100)))


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of calls that ran beside one another."""

    requests: int
    """Calls, whatever came of them."""
    answered: int
    documents: int
    """Of the calls that were answered."""
    seconds: float
    """From the begin of the first call to the end of the last."""
    latency: Latency
    """Of the calls that were answered."""
    refusals: Latency
    """Of the calls that were refused."""
    errors: dict[str, int]
    """How many calls failed, by kind, the commonest first."""
    messages: dict[str, str]
    """What the first call of each kind was told."""
    tokens: int
    """Of all answered pairs, without padding; 0 where the server does not say, as below."""
    padded_tokens: int

    @property
    def documents_per_second(self) -> float:
        """Answered documents by all the time that was spent."""
        return self.documents / self.seconds if self.seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """Likewise."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Likewise, without padding."""
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def padding(self) -> float | None:
        """Computed / real tokens; None where the server does not say."""
        return self.padded_tokens / self.tokens if self.tokens and self.padded_tokens else None


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """All calls of one load level."""
    answers = [outcome.answer for outcome in outcomes if outcome.answer is not None]
    answered = [outcome for outcome in outcomes if outcome.error is None]
    errors = Counter(outcome.error for outcome in outcomes if outcome.error is not None)
    return Summary(
        requests=len(outcomes),
        answered=len(answered),
        documents=sum(outcome.documents for outcome in answered),
        seconds=max((one.ended for one in outcomes), default=0.0) - min((one.begun for one in outcomes), default=0.0),
        latency=Latency.of([outcome.seconds for outcome in answered]),
        refusals=Latency.of([outcome.seconds for outcome in outcomes if outcome.refused]),
        errors=dict(errors.most_common()),
        messages={outcome.error: outcome.message for outcome in reversed(outcomes) if outcome.error is not None},
        tokens=sum(answer.tokens for answer in answers),
        padded_tokens=sum(answer.padded_tokens for answer in answers),
    )

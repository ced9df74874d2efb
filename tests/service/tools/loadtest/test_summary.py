"""Outcomes as figures, reckoned by hand."""

import pytest

from rerank_service.tools.loadtest.generator import Outcome
from rerank_service.tools.loadtest.summary import Latency, percentile, summarise
from rerank_service.tools.loadtest.target import Answer


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0.0),
        ([3.0], 99, 3.0),
        ([2.0, 1.0], 50, 1.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([float(value) for value in range(1, 101)], 95, 95.0),
        ([float(value) for value in range(1, 101)], 99, 99.0),
        ([1.0, 2.0], 99, 2.0),
    ],
)
def test_a_percentile_is_a_value_that_was_seen(values: list[float], percent: float, expected: float) -> None:
    """The least that so many percent do not exceed."""
    assert percentile(values, percent) == expected


def test_a_summary_counts_answers_by_all_the_time_and_failures_by_kind() -> None:
    """Time that went by on failures counts; their latency does not."""
    summary = summarise(
        [
            Outcome(10.0, 11.0, 5, Answer(tokens=100, padded_tokens=105)),
            Outcome(11.0, 14.0, 5, Answer(tokens=300, padded_tokens=315)),
            Outcome(12.0, 12.5, 5, error="HTTP 429", message="later", refused=True),
            Outcome(13.0, 13.25, 5, error="HTTP 429", message="again", refused=True),
            Outcome(13.0, 15.0, 5, error="no connection", message="gone"),
        ]
    )
    assert (summary.requests, summary.answered, summary.documents, summary.seconds) == (5, 2, 10, 5.0)
    assert (summary.documents_per_second, summary.requests_per_second, summary.tokens_per_second) == (2.0, 0.4, 80.0)
    assert summary.padding == pytest.approx(1.05)
    assert summary.latency == Latency(1.0, 3.0, 3.0, 3.0)
    assert summary.refusals == Latency(0.25, 0.5, 0.5, 0.5)
    assert summary.errors == {"HTTP 429": 2, "no connection": 1}
    assert summary.messages == {"HTTP 429": "later", "no connection": "gone"}


def test_of_nothing_there_is_a_summary_too() -> None:
    """Without a division by zero; and of a server that counts no tokens there is no padding."""
    summary = summarise([])
    assert (summary.requests, summary.documents_per_second, summary.requests_per_second) == (0, 0.0, 0.0)
    assert summary.padding is None
    assert summarise([Outcome(0.0, 1.0, 2, Answer())]).padding is None

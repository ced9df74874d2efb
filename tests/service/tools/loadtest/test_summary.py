"""Summaries of outcomes, compared with values computed by hand."""

from typing import Any

import pytest

from rerank_service.tools.loadtest.generator import Outcome
from rerank_service.tools.loadtest.summary import Latency, percentile, summarise
from rerank_service.tools.loadtest.target import Usage


def _outcome(begun: float, ended: float, **fields: Any) -> Outcome:
    return Outcome(begun=begun, ended=ended, documents=5, **fields)


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
def test_percentile_is_one_of_the_values(values: list[float], percent: float, expected: float) -> None:
    """The smallest value that `percent` % of the values do not exceed."""
    assert percentile(values, percent) == expected


def test_summary_counts_answered_calls_and_failures_by_kind() -> None:
    """Throughput uses the whole time, failures included; latency uses answered calls only."""
    summary = summarise(
        [
            _outcome(10.0, 11.0, usage=Usage(tokens=100, padded_tokens=105)),
            _outcome(11.0, 14.0, usage=Usage(tokens=300, padded_tokens=315)),
            _outcome(12.0, 12.5, error="HTTP 429", message="later", refused=True),
            _outcome(13.0, 13.25, error="HTTP 429", message="again", refused=True),
            _outcome(13.0, 15.0, error="no connection", message="gone"),
        ]
    )
    assert (summary.requests, summary.answered, summary.documents, summary.seconds) == (5, 2, 10, 5.0)
    assert (summary.documents_per_second, summary.requests_per_second, summary.tokens_per_second) == (2.0, 0.4, 80.0)
    assert summary.padding == pytest.approx(1.05)
    assert summary.latency == Latency(1.0, 3.0, 3.0, 3.0)
    assert summary.refusals == Latency(0.25, 0.5, 0.5, 0.5)
    assert summary.errors == {"HTTP 429": 2, "no connection": 1}
    assert summary.messages == {"HTTP 429": "later", "no connection": "gone"}


def test_summary_without_calls_or_token_counts() -> None:
    """Without calls all values are 0. Without token counts there is no padding."""
    summary = summarise([])
    assert (summary.requests, summary.documents_per_second, summary.requests_per_second) == (0, 0.0, 0.0)
    assert summary.padding is None
    assert summarise([_outcome(0.0, 1.0, usage=Usage())]).padding is None

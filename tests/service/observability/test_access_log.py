"""The line of a finished request."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from structlog.testing import capture_logs

from rerank_service.errors import InferenceFailed, InvalidRequest
from rerank_service.observability.access_log import AccessLog, AccessLogMode
from rerank_service.observability.request_record import RequestRecord, failure_of
from rerank_service.settings import Settings
from support.request_records import RECORD

RANKED = replace(
    RECORD,
    seconds=0.0123456,
    dialect="cohere_v2",
    key="search",
    documents=3,
    tokens=42,
    queue=0.001,
    tokenize=0.002,
    inference=0.003,
)
REFUSED = replace(
    RANKED, status=400, failure=failure_of(InvalidRequest("query is empty", field="query", reason="empty"))
)


def _lines(mode: AccessLogMode, *records: RequestRecord, log_texts: bool = False) -> list[Any]:
    with capture_logs() as lines:
        for record in records:
            AccessLog(mode, log_texts=log_texts).request_finished(record)
    return lines


def test_modes_are_those_of_the_setting() -> None:
    """The setting has a literal of its own, because it imports no package."""
    assert Settings.model_json_schema()["properties"]["access_log"]["enum"] == list(get_args(AccessLogMode))


def test_line_has_all_facts() -> None:
    """Times are in milliseconds."""
    assert _lines("all", RANKED) == [
        {
            "event": "request finished",
            "log_level": "info",
            "request_id": "mine",
            "protocol": "rest",
            "method": "POST",
            "call": "/v2/rerank",
            "dialect": "cohere_v2",
            "model": "small",
            "key": "search",
            "client": "10.0.0.1",
            "documents": 3,
            "tokens": 42,
            "status": 200,
            "queue_ms": 1.0,
            "tokenize_ms": 2.0,
            "inference_ms": 3.0,
            "total_ms": 12.35,
        }
    ]


def test_line_of_an_error_has_the_reason() -> None:
    """The cause is logged only if the model failed, and its message only if it is of ONNX Runtime: others may quote
    texts, or all tokens."""
    (refused,) = _lines("all", REFUSED)
    assert (refused["reason"], refused["field"], refused["error"]) == ("empty", "query", "query is empty")
    failed, native, invalid = InferenceFailed("no score"), InferenceFailed("no score"), InvalidRequest("wrong")
    failed.__cause__ = invalid.__cause__ = ValueError("Jane")
    native.__cause__ = InvalidArgument("idx=7")
    records = [replace(REFUSED, failure=failure_of(error)) for error in (failed, native, invalid)]
    causes = [line.get("cause") for line in _lines("all", *records)]
    assert causes == ["ValueError (message hidden, see --log-texts)", "InvalidArgument('idx=7')", None]
    assert _lines("all", *records, log_texts=True)[0]["cause"] == "ValueError('Jane')"


@pytest.mark.parametrize(
    ("mode", "statuses"),
    [("all", [200, 400, 499, "OK", "CANCELLED"]), ("errors", [400, 499, "CANCELLED"]), ("off", [])],
)
def test_modes_select_lines(mode: AccessLogMode, statuses: list[int | str]) -> None:
    """A cancelled request is an error, too."""
    records = [replace(RANKED, status=status) for status in (200, 400, 499, "OK", "CANCELLED")]
    assert [line["status"] for line in _lines(mode, *records)] == statuses


@pytest.mark.parametrize("mode", get_args(AccessLogMode))
def test_unexpected_errors_are_logged_in_every_mode(mode: AccessLogMode) -> None:
    """The response names the request id only, so the log is the only place of the error."""
    error = ZeroDivisionError()
    (line,) = _lines(mode, replace(RANKED, status=500, failure=failure_of(error)))
    assert (line["log_level"], line["exc_info"], line["reason"]) == ("error", error, "internal")

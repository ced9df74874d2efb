"""Access log: one line for each finished request.

Rule: the line has no text of a query or document, except with `log_texts`. The message of an unexpected exception is
hidden, because it may quote one (tracebacks.py).
"""

from typing import Any, Literal

import structlog

from rerank_service.errors import OperatorError, RequestError
from rerank_service.observability.request_record import Failure, RequestRecord
from rerank_service.observability.tracebacks import BY_CALLER, HIDDEN

AccessLogMode = Literal["off", "errors", "all"]
EVENT = "request finished"
"""The event of each line."""

_log = structlog.get_logger()


class AccessLog:
    """Writes the line of each finished request."""

    def __init__(self, mode: AccessLogMode, *, log_texts: bool = False) -> None:
        """`mode`: `all` requests, `errors` only, or `off`. Unexpected exceptions are logged in every mode.

        `log_texts`: also log the texts of a record.
        """
        self._mode = mode
        self._log_texts = log_texts

    def call_started(self, method: str) -> None:
        """Do nothing: the line is written at the end."""

    def request_finished(self, record: RequestRecord) -> None:
        """Write the line of a request, if the mode includes it."""
        if record.failure is not None and record.failure.unexpected is not None:
            _log.error(EVENT, **self._fields(record), exc_info=record.failure.unexpected, **{BY_CALLER: True})
        elif self._mode == "all" or (self._mode == "errors" and record.is_error):
            _log.info(EVENT, **self._fields(record))

    def _fields(self, record: RequestRecord) -> dict[str, Any]:
        fields = _fields(record)
        if record.failure is not None and record.failure.cause is not None:
            fields["cause"] = _cause(record.failure.cause, texts=self._log_texts)
        if self._log_texts and record.texts is not None:
            fields |= {"query": record.texts.query, "document_texts": list(record.texts.documents)}
        return fields


def _fields(record: RequestRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "request_id": record.id,
        "protocol": record.protocol,
        "method": record.method,
        "call": record.call,
        "dialect": record.dialect,
        "model": record.model,
        "key": record.key,
        "client": record.client,
        "documents": record.documents,
        "tokens": record.tokens,
        "status": record.status,
        "queue_ms": _milliseconds(record.queue),
        "tokenize_ms": _milliseconds(record.tokenize),
        "inference_ms": _milliseconds(record.inference),
        "total_ms": _milliseconds(record.seconds),
    }
    if record.highlights is not None:
        fields["highlights"] = record.highlights
    if record.failure is not None:
        fields |= _failure_fields(record.failure)
    if record.trace_id:
        fields |= {"trace_id": record.trace_id, "span_id": record.span_id}
    return fields


def _failure_fields(failure: Failure) -> dict[str, Any]:
    fields: dict[str, Any] = {"reason": failure.reason}
    if failure.field is not None:
        fields["field"] = failure.field
    if failure.message:
        fields["error"] = failure.message
    return fields


def _cause(cause: BaseException, *, texts: bool) -> str:
    """Return the error of the model. That of ONNX Runtime names nodes, shapes and at most one token; an error in Python
    may have all tokens of a batch."""
    kind = type(cause)
    if texts or isinstance(cause, RequestError | OperatorError) or kind.__module__.partition(".")[0] == "onnxruntime":
        return repr(cause)
    return f"{kind.__qualname__} ({HIDDEN})"


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)

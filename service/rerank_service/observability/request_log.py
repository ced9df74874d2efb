"""Log lines about rejected and failed requests.

Rule: no text of a caller is logged. The causes of errors about invalid input may quote it, so they are not logged.
"""

from collections.abc import Mapping

import structlog

from rerank_service.errors import InferenceFailed, RequestError

_log = structlog.get_logger()


def log_refusal(error: RequestError, request: Mapping[str, str], *, status: int | str) -> None:
    """Log a rejected request.

    Args:
        error: the reason. Its cause is logged only if the model failed.
        request: fields that identify the request, such as `request_id` and `caller`.
        status: status of the response: an HTTP status code, or the name of a gRPC code.
    """
    cause = {"cause": repr(error.__cause__)} if isinstance(error, InferenceFailed) and error.__cause__ else {}
    _log.info(
        "request refused", **request, status=status, reason=error.reason, field=error.field, error=str(error), **cause
    )


def log_internal_error(request: Mapping[str, str]) -> None:
    """Log an unexpected exception, with its traceback. Call it in an `except` block."""
    _log.exception("internal error", **request)

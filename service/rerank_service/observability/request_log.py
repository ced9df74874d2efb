"""Log lines about single requests.

Rule: no text of a caller is logged. Messages about bad input quote what was sent, so their causes are left out.
"""

from collections.abc import Mapping

import structlog

from rerank_service.errors import InferenceFailed, RequestError

_log = structlog.get_logger()


def log_refusal(error: RequestError, request: Mapping[str, str], *, status: int | str) -> None:
    """Log that a request was refused. `request` has the fields that identify it, `status` is the answer's.

    The cause is logged for a failure of the model only.
    """
    cause = {"cause": repr(error.__cause__)} if isinstance(error, InferenceFailed) and error.__cause__ else {}
    _log.info("refused", **request, status=status, reason=error.reason, field=error.field, error=str(error), **cause)


def log_internal_error(request: Mapping[str, str]) -> None:
    """Log the exception that is being handled, which no request should cause."""
    _log.exception("internal error", **request)

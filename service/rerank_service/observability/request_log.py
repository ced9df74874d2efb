"""What the log says of a request that is refused."""

import structlog

from rerank_service.errors import InferenceFailed, RerankError

_log = structlog.get_logger()


def log_refusal(
    error: RerankError, *, protocol: str, call: str, request_id: str, caller: str, status: int | str
) -> None:
    """One line. The cause is told of the model's failures only: those of bad input quote what was sent, and what
    callers send is not for the log."""
    cause = {"cause": repr(error.__cause__)} if isinstance(error, InferenceFailed) and error.__cause__ else {}
    _log.info(
        "refused",
        protocol=protocol,
        call=call,
        request_id=request_id,
        caller=caller,
        status=status,
        reason=error.reason,
        field=error.field,
        error=str(error),
        **cause,
    )

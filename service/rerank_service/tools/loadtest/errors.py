"""Error of a load test that cannot start. A single failed call is an outcome (`target.CallFailed`)."""

from rerank_service.errors import OperatorError


class LoadTestFailed(OperatorError):
    """The load test cannot start. The message gives the reason and the next step."""

"""The error of a scorer that is broken."""

from rerank_service.errors import OperatorError


class NothingScored(OperatorError):
    """The model or the server that scores files fails on a pair of two letters, too, so it is broken or hangs."""

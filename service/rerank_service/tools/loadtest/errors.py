"""Why a server cannot be put under load at all; a single call that fails is an outcome (target.py)."""

from rerank_service.errors import OperatorError


class LoadFailed(OperatorError):
    """There is nothing to measure; the sentence says why, and what to do."""

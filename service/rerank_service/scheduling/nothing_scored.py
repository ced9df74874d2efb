"""The error for a model that scores nothing any more."""

from rerank_service.errors import OperatorError


class NothingScored(OperatorError):
    """A model or a server fails on a short pair, too, so it is broken or hangs."""

    @classmethod
    def by_model(cls, name: str, reason: str) -> "NothingScored":
        """Return the error of a model. Its name is empty if there is only one."""
        return cls.by(f"model {name!r}" if name else "the model", reason)

    @classmethod
    def by(cls, scorer: str, reason: str) -> "NothingScored":
        """Return the error of the model or the server."""
        return cls(f"{scorer} does not score a short pair either: {reason}")

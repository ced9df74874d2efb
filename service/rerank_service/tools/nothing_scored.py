"""A short pair that any working model scores, and the error if it is not scored."""

import secrets

from rerank_service.errors import OperatorError

_DIGITS = 6


class NothingScored(OperatorError):
    """The model or the server that scores files fails on a short pair, too, so it is broken or hangs."""

    @classmethod
    def by(cls, scorer: str, reason: str) -> "NothingScored":
        """Return the error of the model or the server."""
        return cls(f"{scorer} does not score a short pair either: {reason}")


def short_text() -> str:
    """Return a text of six random digits for both sides of a short pair.

    A score cache would answer a pair that was scored before, also when the engine is broken. Between blanks, each digit
    is a token of its own in any vocabulary.
    """
    return " ".join(str(secrets.randbelow(10)) for _ in range(_DIGITS))

"""A short text. If it is both query and document, any working model scores the pair."""

import secrets

_DIGITS = 6


def short_text() -> str:
    """Return a text of six random digits for both sides of a short pair.

    A score cache would answer a pair that was scored before, also when the engine is broken. Between blanks, each digit
    is a token of its own in any vocabulary.
    """
    return " ".join(str(secrets.randbelow(10)) for _ in range(_DIGITS))

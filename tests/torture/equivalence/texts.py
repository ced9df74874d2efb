"""Texts of the requests: numbers that the small model knows, with sentences, and a few texts that no model expects."""

import random

_WORDS = 100
_ODD = ("", " ", "\N{SNOWMAN}", "e\N{COMBINING ACUTE ACCENT}", "\N{ZERO WIDTH SPACE}1", "7" * 300, "\r\n\t3")
_ODD_SHARE = 0.05
_LONG_SHARE = 0.1
_SHORT, _LONG = 24, 160
"""Maximum number of words. The small model has 32 tokens, so long documents are scored in windows."""


def query(generator: random.Random) -> str:
    """Return a query of one to six words."""
    return " ".join(_words(generator, generator.randint(1, 6)))


def document(generator: random.Random) -> str:
    """Return a document. Some are long, and some are odd."""
    if generator.random() < _ODD_SHARE:
        return generator.choice(_ODD)
    longest = _LONG if generator.random() < _LONG_SHARE else _SHORT
    words = _words(generator, generator.randint(1, longest))
    for place in range(6, len(words), 7):
        words[place] += "."
    return " ".join(words)


def documents(generator: random.Random, most: int = 40) -> list[str]:
    """Return at least one document, mostly a few. Some occur twice."""
    found = [document(generator) for _ in range(min(most, 1 + int(generator.expovariate(1 / 8))))]
    return [*found, found[0]] if generator.random() < 0.1 else found


def _words(generator: random.Random, count: int) -> list[str]:
    return [str(generator.randrange(_WORDS)) for _ in range(count)]

"""Divide a long text into the pieces that are tokenized separately. Pure functions.

Rule: the pieces depend on the text and on the size of a piece only. So the tokens of a text are the same whether the
whole text is read or only some of its pieces (docs/documents.md).
"""

import re
from collections.abc import Iterator

from rerank_service.ranking.document import Span

LONGEST_WORD = 131_072
"""Characters of a word that is not divided. A tokenizer may know a part of a long word, and not the word."""
_ENDS = tuple(re.compile(pattern, re.DOTALL) for pattern in (r".*\S(?= )", r".*\S(?=\s)", r".*\W"))
"""Places where a piece may end, the best one first: before a blank, before a line end or another space, and after a
character that is no letter or digit."""
_WORD_END = re.compile(r"(?=\s)|(?<=\W)")


def text_pieces(text: str, chars: int) -> Iterator[Span]:
    """Yield the positions of the pieces of a text, in order. They are adjacent, and hold the whole text.

    A piece has at most `chars` characters, at least 2, and ends at the last good place in its second half. Without such
    a place, it ends with the word that it is in. An empty text has one empty piece.
    """
    start = 0
    while len(text) - start > chars:
        end = _end(text, start + chars // 2, start + chars)
        yield start, end
        start = end
    if start < len(text) or not text:
        yield start, len(text)


def _end(text: str, earliest: int, latest: int) -> int:
    """Return the end of a piece, between two positions if there is a good place, else after them."""
    for pattern in _ENDS:
        if (match := pattern.match(text, earliest, latest)) is not None:
            return match.end()
    longest = min(len(text), max(latest, earliest + LONGEST_WORD))
    found = _WORD_END.search(text, latest, longest)
    return longest if found is None else found.start()

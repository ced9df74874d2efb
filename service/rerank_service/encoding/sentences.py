"""Split a text into sentences, in any language. Pure.

The library sentencex finds the ends of sentences (docs/decisions/0047-highlights.md). Lines and headings end sentences,
too, and pieces without words do not count. All positions are Unicode code points.
"""

import itertools
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import sentencex

from rerank_service.encoding.text_ends import text_start
from rerank_service.ranking.document import Span
from rerank_service.ranking.highlights import MAX_SENTENCES
from rerank_service.rust_panics import RustPanic, panics_as_errors

_MIN_WORD_CHARS = 4
"""A piece with fewer letters and digits, such as "12." or "No.", belongs to the sentence after it."""
_PART_CHARS = 2_000
"""Maximum number of characters that are read in one call of a library. sentencex holds the GIL meanwhile, and the time
of some texts grows with the square of their length: 7 ms for 4,000 characters. A longer sentence is split here."""
_LANGUAGE = "en"
"""Language whose abbreviations do not end a sentence. The marks that end one are those of all languages."""
_LINE_BREAK = re.compile(r"\n(?P<blanks>\s*)(?P<next>\S*)")
_QUOTATION_MARKS = (re.compile(r"(?<!\w)'|'(?!\w)"), re.compile('"'))
_BLANKS = {
    code: "\n" if chr(code) in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029" else " "
    for code in range(0x3001)
    if chr(code).isspace() and chr(code) not in "\n "
}
"""One form of each blank, of the same length. sentencex 1.0.32 fails on some blanks beyond ASCII."""


def sentence_spans(text: str) -> list[Span]:
    """Return the sentences of a text, in order, without the blanks around them. Empty for a text of blanks only.

    A line break of two characters (`\\r\\n`) counts as one.
    """
    if "\r\n" not in text:
        return _spans(text)
    found = enumerate(re.finditer("\r\n", text))
    breaks = [match.start() - removed for removed, match in found]  # in the text with breaks of one character
    spans = _spans(text.replace("\r\n", "\n"))
    return [(start + bisect_left(breaks, start), end + bisect_left(breaks, end)) for start, end in spans]


def _spans(text: str) -> list[Span]:
    """Return the sentences of a text whose line breaks are single characters."""
    plain = "".join(part.translate(_BLANKS) for part in _parts(text))
    spans = [span for piece in _pieces(plain) if (span := _stripped(plain, piece)) is not None]
    return _merged(text, spans)


def nearest_spans(spans: Sequence[Span], best: Span | None, count: int = MAX_SENTENCES) -> list[Span]:
    """Return at most `count` consecutive spans: those around the best window, else the first ones."""
    if len(spans) <= count:
        return list(spans)
    if best is None:
        return list(spans[:count])
    middle = (best[0] + best[1]) / 2
    nearest = min(range(len(spans)), key=lambda at: abs((spans[at][0] + spans[at][1]) / 2 - middle))
    start = min(max(0, nearest - count // 2), len(spans) - count)
    return list(spans[start : start + count])


def _pieces(text: str) -> Iterator[Span]:
    """Yield the parts of a text: its sentences, each split at the ends of its lines."""
    for start, end in _boundaries(text):
        yield from itertools.pairwise((start, *_line_ends(text, start, end), end))


def _line_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the line breaks that end a sentence.

    A break before a lower-case letter does not, as in text that is wrapped, unless a blank line or a `key: value` line
    follows.
    """
    for found in _LINE_BREAK.finditer(text, start, end):
        following = found["next"]
        if "\n" in found["blanks"] or not following[:1].islower() or following.endswith(":"):
            yield found.start()


def _parts(text: str) -> Iterator[str]:
    """Yield a text in parts of equal length."""
    for start in range(0, len(text), _PART_CHARS):
        yield text[start : start + _PART_CHARS]


def _boundaries(text: str) -> Iterator[Span]:
    """Yield the sentences that sentencex finds. It reads the text in parts, each from the start of a sentence.

    Only sentences that begin in the first half of a part are taken: near its end, a quotation may be open.
    """
    start = 0
    while start < len(text):
        part = text[start : start + _PART_CHARS]
        if start + len(part) == len(text):
            found = _boundaries_of_part(part)
        else:
            part = _without_open_quotation(text_start(part, len(part) - 1))
            found = _boundaries_of_part(part)
            found = [span for span in found if span[0] <= len(part) // 2 and span[1] < len(part)] or found
        yield from ((start + first, start + last) for first, last in found)
        start += found[-1][1]


def _without_open_quotation(part: str) -> str:
    """Return a part without a quotation that begins in its second half and does not end in it.

    With an odd number of straight quotation marks, sentencex ignores all of them.
    """
    for pattern in _QUOTATION_MARKS:
        marks = [found.start() for found in pattern.finditer(part)]
        if len(marks) % 2 and marks[-1] > len(part) // 2:
            part = part[: marks[-1]]
    return part


def _boundaries_of_part(part: str) -> list[Span]:
    """Return the sentences of a part, without gaps. A part on which sentencex fails is one sentence."""
    try:
        with panics_as_errors():
            found = sentencex.get_sentence_boundaries(_LANGUAGE, part)
    except RustPanic:
        return [(0, len(part))]
    ends = (each["end_index"] for each in found)
    return list(itertools.pairwise((0, *(end for end in ends if 0 < end < len(part)), len(part))))


def _stripped(text: str, span: Span) -> Span | None:
    """Return a span without the blanks around it. None: it has only blanks."""
    part = text[span[0] : span[1]]
    start = span[0] + len(part) - len(part.lstrip())
    end = span[0] + len(part.rstrip())
    return (start, end) if start < end else None


def _merged(text: str, spans: Sequence[Span]) -> list[Span]:
    """Join each piece that has too few letters with the next one, and the last one with the piece before it."""
    merged: list[Span] = []
    begin, chars = None, 0
    for start, end in spans:
        begin = start if begin is None else begin
        chars += _word_chars(text[start:end])
        if chars >= _MIN_WORD_CHARS:
            merged.append((begin, end))
            begin, chars = None, 0
    if begin is None:
        return merged
    return [*merged[:-1], (merged[-1][0] if merged else begin, spans[-1][1])]


def _word_chars(piece: str) -> int:
    """Return the number of letters and digits in a piece; at most `_MIN_WORD_CHARS`."""
    return sum(1 for _ in itertools.islice(filter(str.isalnum, piece), _MIN_WORD_CHARS))

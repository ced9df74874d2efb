"""Find the ends of characters as a reader sees them: a letter with its combining marks, a Korean syllable. Pure.

Positions are Unicode code points. A text in the form NFD, such as a file name of macOS, has several for one character.
"""

import unicodedata

FIRST_CONTINUING = 0x300
"""The first code point that belongs to the one before it: a grave accent."""
_CONTINUE = (
    ("\u1160", "\u11ff"),  # vowels and final consonants of Korean syllables
    ("\ud7b0", "\ud7fb"),  # those of old Korean
    ("\uff9e", "\uff9f"),  # voicing marks of Japanese, halfwidth
)
"""First and last code points that belong to the one before them, beside the combining marks."""
_MAX_CODE_POINTS = 32
"""Maximum number of code points of a character. Source: Unicode UAX #15, Stream-Safe Text Format, which allows 30 marks
after a letter."""


def character_start(text: str, earliest: int, latest: int) -> int:
    """Return the last position up to `latest` at which a character starts, not before `earliest`.

    If there is none within 32 code points, return `latest`: no reader sees such a run of marks as one character.
    """
    if latest >= len(text):
        return latest
    positions = range(latest, max(earliest, latest - _MAX_CODE_POINTS) - 1, -1)
    return next((at for at in positions if not _continues(text[at])), latest)


def character_end(text: str, earliest: int, latest: int) -> int:
    """Return the first position from `earliest` on at which a character ends, or `latest`."""
    at = earliest
    while at < latest and _continues(text[at]):
        at += 1
    return at


def _continues(code_point: str) -> bool:
    """Return whether a code point belongs to the character before it, such as an accent or a vowel in Thai or Hindi."""
    return unicodedata.category(code_point).startswith("M") or any(
        first <= code_point <= last for first, last in _CONTINUE
    )

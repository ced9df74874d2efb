"""Format counts, durations and figures for messages: `1 document`, `1,200 tokens`, `12 ms`, `0.325`.

Example: `f"{counted(len(documents), 'document')} in {duration(seconds)}"`
"""

_ES = ("s", "x", "z", "ch", "sh")
"""Endings of nouns whose plural ends in -es."""
_VOWELS = "aeiou"
_TENTHS_BELOW = 9.95
"""Seconds below which tenths are shown."""


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """Return a rounded number with its noun: `1 document`, `2 queries`. Pass an irregular `plural`."""
    whole = round(number)
    return f"{whole:,} {noun if whole == 1 else plural or _plural(noun)}"


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in _VOWELS:
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(_ES) else f"{noun}s"


def duration(seconds: float) -> str:
    """Return a duration with its unit, rounded: `less than 1 ms`, `12 ms`, `1.2 s`, `75 s`."""
    milliseconds = round(seconds * 1000)
    if not milliseconds:
        return "less than 1 ms"
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{seconds:.1f} s" if seconds < _TENTHS_BELOW else f"{seconds:,.0f} s"


def about(seconds: float) -> str:
    """Return an estimated duration: `less than 1 ms`, `about 12 ms`, `about 75 s`."""
    text = duration(seconds)
    return text if text.startswith("less") else f"about {text}"


def rounded(value: float) -> str:
    """Return a figure with three significant digits: `0.325`, `-1.5`."""
    return f"{value:.3g}"

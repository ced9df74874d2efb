"""Return the beginning of a long text, cut at a blank. Pure."""


def text_start(text: str, chars: int) -> str:
    """Return at most `chars` characters from the start of a text.

    The cut is at the last blank in the second half of them; without a blank there, at exactly `chars` characters.
    """
    if len(text) <= chars:
        return text
    blank = text.rfind(" ", chars // 2, chars)
    return text[: chars if blank < 0 else blank]

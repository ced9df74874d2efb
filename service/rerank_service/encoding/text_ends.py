"""Return the beginning of a long text, cut at a blank. Pure."""

from rerank_service.encoding.characters import character_start


def text_start(text: str, chars: int) -> str:
    """Return at most `chars` characters from the start of a text.

    The cut is at the last blank in the second half of them. Without a blank there, it is at the end of a whole
    character.
    """
    if len(text) <= chars:
        return text
    blank = text.rfind(" ", chars // 2, chars)
    return text[: character_start(text, chars // 2, chars) if blank < 0 else blank]

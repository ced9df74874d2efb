"""Measure a text before it is tokenized: its characters, and whether it has many tokens for each of them."""

from rerank_service.ranking.document import TextLength

_DENSE_BYTES = 1.5
"""Bytes of UTF-8 per character from which a text is dense. German and French have up to 1.1, Russian 1.9, Chinese 3."""
_SAMPLE_CHARS = 4_096
"""About the number of characters of a long text that are looked at. They are spread over the text."""
_UTF8_OF_ESCAPE = 3
"""Maximum bytes of UTF-8 for the character of an escape such as `\\u6771`."""
_ESCAPE_EXTRA_CHARS = len("u6771")


def text_length(text: str) -> TextLength:
    """Return the length of a text."""
    return TextLength(len(text), is_dense(text))


def is_dense(text: str) -> bool:
    """Return True if a text has many tokens per character, as Chinese or Russian text has. Some quotation marks or
    accents in other text do not count."""
    if text.isascii():
        return False
    sample = text[:: len(text) // _SAMPLE_CHARS + 1]
    return len(sample.encode("utf-8", "surrogatepass")) > _DENSE_BYTES * len(sample)


def json_length(text: str) -> TextLength:
    """Return about the length of a JSON text, without parsing it. An escaped character counts as one character."""
    escapes = text.count("\\u") - text.count("\\\\u")  # not an escaped backslash before a u
    chars = max(escapes, len(text) - _ESCAPE_EXTRA_CHARS * escapes)
    escaped_bytes = chars + (_UTF8_OF_ESCAPE - 1) * escapes
    return TextLength(chars, escaped_bytes > _DENSE_BYTES * chars or is_dense(text))

"""Find the positions of tokens in a text."""

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from rerank_service.encoding.characters import FIRST_CONTINUING, character_end


def token_spans(encoding: Encoding, text: str) -> NDArray[np.int64]:
    """Return the start and the end of each token in its text, in Unicode code points; shape (tokens, 2).

    A tokenizer that composes characters (NFC, NFKC) replaces a letter and its accent by one character, and gives its
    token the position of the letter only. Here, such a token ends after the accent.
    """
    spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    if text.isascii():
        return spans
    starts, ends = np.sort(spans[:, 0]), spans[:, 1].copy()
    following = np.append(starts, len(text))[np.searchsorted(starts, ends)]
    gaps = np.flatnonzero(ends < following)
    code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    for at in gaps[code_points[ends[gaps]] >= FIRST_CONTINUING].tolist():  # after other tokens, there are blanks
        spans[at, 1] = character_end(text, int(ends[at]), int(following[at]))
    return spans

"""Requests whose documents have a given number of tokens, cut from the passages of the parity set."""

from pathlib import Path

from tokenizers import Tokenizer

from rerank_service.models.tuning import parity_set
from rerank_service.tools.loadtest.workload import PreparedRequests, Request

QUERY_TOKENS = 8
_STRIDE = 37
"""Tokens between the starts of two texts, so that no two are equal before the passages start again."""


class TokenTexts:
    """Texts with a given number of tokens of one tokenizer."""

    def __init__(self, tokenizer_file: Path) -> None:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        tokenizer.no_truncation()  # a limit of the published file counts pairs
        passages = dict.fromkeys(text for query in parity_set.queries() for text in query.documents)
        self._text = " ".join(" ".join(passages).split())
        self._ends = tokenizer.encode(self._text, add_special_tokens=False).offsets
        self._at = 0

    def next(self, tokens: int) -> str:
        """Return another text of that many tokens. It may have one more or less, where a word is cut."""
        if self._at + tokens > len(self._ends):
            self._at = self._at % _STRIDE + 1
        begin, end = self._ends[self._at][0], self._ends[self._at + tokens - 1][1]
        self._at += max(_STRIDE, tokens)
        return self._text[begin:end].strip()

    def requests(self, count: int, documents: int, tokens: int) -> PreparedRequests:
        """Return requests of `documents` documents of `tokens` tokens each."""
        return PreparedRequests(
            tuple(
                Request(self.next(QUERY_TOKENS), tuple(self.next(tokens) for _ in range(documents)))
                for _ in range(count)
            )
        )

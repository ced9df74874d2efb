"""The model that is exported, as transformers computes it in fp32: what every graph is compared with."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_export.decoder import load_decoder
from rerank_export.encoder import load_encoder
from rerank_export.scoring import Scoring
from rerank_export.source import Source
from rerank_service.encoding.template import Template

_BATCH_TOKENS = 2048
"""Of pairs that are computed together."""

Advance = Callable[[int], None]
"""Told how many pairs more are scored."""


class TorchModel:
    """Logits of pairs by transformers, with its own tokenizer."""

    def __init__(self, source: Source, scoring: Scoring, max_tokens: int) -> None:
        """Load it.

        Raises:
            ExportFailed: the model's files lack some of its weights.
        """
        from transformers import AutoTokenizer

        self._scoring = scoring
        self._max_tokens = max_tokens
        self._tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
        self._model = load_decoder(source, scoring) if scoring.decoder else load_encoder(source)

    def logits(self, pairs: Sequence[tuple[str, str]], advance: Advance = lambda _: None) -> NDArray[np.float32]:
        """Logits, float32 of shape (pairs,), the document cut. None is padded: only pairs of one length share a
        batch, and a decoder's none, since transformers looks for its last token by the padding's id."""
        import torch

        encoded = [self._encoded(query, document) for query, document in pairs]
        lengths = [one["input_ids"].shape[1] for one in encoded]
        logits = np.empty(len(pairs), np.float32)
        with torch.inference_mode():
            for batch in _of_one_length(lengths, 0 if self._scoring.decoder else _BATCH_TOKENS):
                fed = {name: torch.cat([encoded[at][name] for at in batch]) for name in encoded[batch[0]]}
                logits[batch] = self._scores(self._model(**fed).logits).numpy()
                advance(len(batch))
        return logits

    def _scores(self, output: Any) -> Any:
        """One number a row."""
        rows = (output[:, -1] if self._scoring.generative else output)[:, list(self._scoring.rows)]
        return rows[:, 0] if rows.shape[1] == 1 else rows[:, 0] - rows[:, 1]

    def _encoded(self, query: str, document: str) -> dict[str, Any]:
        """A pair as the model's own code would feed it."""
        import torch

        template = self._scoring.template
        if template:
            ids = torch.tensor([self._written(template, query, document)])
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        # lists, since a bare "" as the second text counts as none, and the query is then encoded alone
        encoded = self._tokenizer(
            [query], [document], truncation="only_second", max_length=self._max_tokens, return_tensors="pt"
        )
        return {
            name: value for name, value in encoded.items() if not (self._scoring.decoder and name == "token_type_ids")
        }

    def _written(self, template: Template, query: str, document: str) -> list[int]:
        """A pair's token ids, each text of the template by itself."""

        def ids(texts: Sequence[str]) -> list[int]:
            return [one for text in texts for one in self._tokenizer(text, add_special_tokens=False).input_ids]

        head, tail = ids(template.head(query)), ids(template.after)
        return [*head, *ids([template.lead + document])[: self._max_tokens - len(head) - len(tail)], *tail]


def _of_one_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Positions of the pairs of each batch, which has so many tokens, or one pair; long and short by turns."""
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for at, length in enumerate(lengths):
        alike[length].append(at)
    for length, positions in alike.items():
        size = max(1, tokens // length)
        yield from (positions[at : at + size] for at in range(0, len(positions), size))

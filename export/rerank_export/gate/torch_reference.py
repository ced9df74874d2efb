"""The reference of every comparison: the model as transformers computes it in fp32."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_export.errors import ExportFailed
from rerank_export.graph.torch_decoder import load_decoder
from rerank_export.graph.torch_encoder import input_names, load_encoder
from rerank_export.graph.torch_encoder_decoder import load_encoder_decoder, start_tokens
from rerank_export.reporter import Advance
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from rerank_service.encoding.template import Template
from rerank_service.engine.graph_io import INPUTS
from rerank_service.error_text import excerpt
from rerank_service.scheduling.batching import Batch

_BATCH_TOKENS = 2048
"""Maximum number of tokens in a batch."""


class TorchReference:
    """Logits of pairs by transformers, with its own tokenizer."""

    def __init__(self, source: ModelSource, scoring: Scoring, max_tokens: int) -> None:
        """Load the model and its tokenizer. Pairs are cut to `max_tokens`.

        The prompt of a recipe or of a chat template is written as the model's own code writes it, in one string: an
        independent check of the template, which the server writes in parts.

        Raises:
            ExportFailed: weights are missing or not finite.
        """
        from transformers import AutoTokenizer

        self._scoring = scoring
        self._max_tokens = max_tokens
        self._tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
        self._model = _load(source, scoring)

    def logits(self, pairs: Sequence[tuple[str, str]], advance: Advance = lambda _: None) -> NDArray[np.float32]:
        """Return the logits of pairs (query, document), float32 of shape (pairs,). Long documents are cut.

        No pair is padded: a batch holds pairs of equal length. Pairs of a decoder are computed one by one, since
        transformers finds its last token by the id of the padding. `advance` is called with the size of each batch.

        Raises:
            ExportFailed: the template gives other tokens than the published prompt.
        """
        import torch

        encoded = [self._encoded(query, document) for query, document in pairs]
        lengths = [inputs["input_ids"].shape[1] for inputs in encoded]
        logits = np.empty(len(pairs), np.float32)
        with torch.inference_mode():
            for batch in _batches_of_equal_length(lengths, 0 if self._scoring.decoder else _BATCH_TOKENS):
                inputs = {name: torch.cat([encoded[at][name] for at in batch]) for name in encoded[batch[0]]}
                logits[batch] = self._scores(self._output(inputs)).numpy()
                advance(len(batch))
        return logits

    def score(self, batch: Batch) -> NDArray[np.float32]:
        """Return the logits of a batch that may be padded, float32 of shape (pairs,)."""
        import torch

        arrays = dict(zip(INPUTS, (batch.input_ids, batch.attention_mask, batch.token_type_ids), strict=True))
        inputs = {name: torch.from_numpy(arrays[name]) for name in self._names}
        with torch.inference_mode():
            scores: NDArray[np.float32] = self._scores(self._output(inputs)).numpy()
        return scores

    def _output(self, inputs: Mapping[str, Any]) -> Any:
        """Return the logits of the model, before rows are chosen."""
        if self._scoring.encoder_decoder:
            return self._model(**inputs, **start_tokens(self._model, inputs["input_ids"])).logits
        return self._model(**inputs, **self._kept).logits

    @property
    def _kept(self) -> dict[str, int]:
        """The option to compute the logits of the last token only: the vocabulary may be a third of a small model."""
        kept = "logits_to_keep"
        return {kept: 1} if self._scoring.generative and kept in signature(self._model.forward).parameters else {}

    @property
    def _names(self) -> Sequence[str]:
        """The names of the inputs."""
        if self._scoring.template or self._scoring.decoder:
            return INPUTS[:2]
        return input_names(self._model, self._tokenizer)

    def _scores(self, output: Any) -> Any:
        """Return one number per pair, a tensor of shape (pairs,)."""
        rows = (output[:, -1] if self._scoring.generative else output)[:, list(self._scoring.rows)]
        return rows[:, 0] if rows.shape[1] == 1 else rows[:, 0] - rows[:, 1]

    def _encoded(self, query: str, document: str) -> dict[str, Any]:
        """Return the inputs that the model's own code would compute for a pair."""
        import torch

        template = self._scoring.template
        if template:
            ids = torch.tensor([self._prompt_ids(template, query, document)])
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        # lists, since the tokenizer treats a bare "" as a missing second text
        encoded = self._tokenizer(
            [query], [document], truncation="only_second", max_length=self._max_tokens, return_tensors="pt"
        )
        return {name: encoded[name] for name in self._names}

    def _prompt_ids(self, template: Template, query: str, document: str) -> list[int]:
        """Return a pair's token ids: those of the published prompt if there is one and the pair is not cut."""
        split = self._template_ids(template, query, document)
        published = self._scoring.published
        if published is None:
            return split
        text = published.filled(query, document, template.instruction)
        whole: list[int] = self._tokenizer(text, add_special_tokens=published.special_tokens).input_ids
        if len(whole) > self._max_tokens:
            return split
        if whole != split:
            raise ExportFailed(
                f"the template ({self._scoring.template_origin}) does not fit the tokenizer: its parts have other "
                f"tokens than the published prompt, for example for the query “{query}” and the document "
                f"“{excerpt(document)}”. Set --template to the text that the model was trained with"
            )
        return whole

    def _template_ids(self, template: Template, query: str, document: str) -> list[int]:
        """Return a pair's token ids. Each text of the template is tokenized by itself."""

        def ids(texts: Sequence[str]) -> list[int]:
            return [token for text in texts for token in self._tokenizer(text, add_special_tokens=False).input_ids]

        head, tail = ids(template.head(query)), ids(template.after)
        return [*head, *ids([template.lead + document])[: self._max_tokens - len(head) - len(tail)], *tail]


def _load(source: ModelSource, scoring: Scoring) -> Any:
    if scoring.encoder_decoder:
        return load_encoder_decoder(source)
    return load_decoder(source, scoring) if scoring.decoder else load_encoder(source)


def _batches_of_equal_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Yield the indexes of each batch: pairs of one length, at least one and at most `tokens` tokens in all."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for at, length in enumerate(lengths):
        by_length[length].append(at)
    for length, positions in by_length.items():
        size = max(1, tokens // length)
        yield from (positions[at : at + size] for at in range(0, len(positions), size))

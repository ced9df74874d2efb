"""Whether a bundle scores as its source does."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_export.decoder import load_decoder
from rerank_export.encoder import load_encoder
from rerank_export.errors import ExportFailed, one_line
from rerank_export.scoring import Scoring
from rerank_export.source import Source
from rerank_service.batching import Batch, BatchLimits, EncodedPair, collate
from rerank_service.bundle import Bundle
from rerank_service.engine.session import CrossEncoder
from rerank_service.ranking import Activation
from rerank_service.template import Template
from rerank_service.tokenizer import PairTokenizer

TOLERANCE = 1e-4
"""Of a logit, between torch in fp32 and onnxruntime in fp32."""

_QUERIES = (
    "What is the capital of the United States?",
    "how to reset a forgotten password",
    "¿Cuáles son los síntomas de la gripe?",
    "🚀 launch window for mars",
)
_DOCUMENTS = (
    "Washington, D.C. is the capital of the United States. It is a federal district.",
    "Open the sign-in page, choose “Forgot password”, and follow the link that is sent to you.",
    "La gripe causa fiebre, tos, dolor de cabeza y cansancio; 流感会引起发烧和咳嗽。",
    "A launch window to Mars opens every 26 months 🪐🚀, when the planets line up.",
    "ok",
    "",
    "x" * 300,
    "The quick brown fox jumps over the lazy dog. " * 200,
)
_ROWS = 2
"""Of a batch: one is padded, and a model with a window of thousands still fits in memory."""
PAIRS = tuple((query, document) for query in _QUERIES for document in _DOCUMENTS)


@dataclass(frozen=True, slots=True)
class Parity:
    """How the bundle compares with its source. Differences are of logits, the largest over all pairs."""

    pairs: int
    tolerance: float
    max_difference: float
    """Against transformers in fp32."""
    max_batch_difference: float
    """Of a pair scored in a padded batch with the others, against the same pair scored alone."""
    worst_pair: int

    @property
    def holds(self) -> bool:
        """Whether both are within the tolerance."""
        # each by itself: max() may lose a NaN
        return self.max_difference <= self.tolerance and self.max_batch_difference <= self.tolerance

    def report(self) -> dict[str, Any]:
        """For report.json."""
        return {"verdict": "pass" if self.holds else "fail", **asdict(self)}


CLASSIFIER = Scoring(decoder=False, generative=False, rows=(0,), activation=Activation.SIGMOID)
"""A cross-encoder with one label, as most are."""


def reference_logits(
    source: Source, pairs: Sequence[tuple[str, str]], max_tokens: int, scoring: Scoring = CLASSIFIER
) -> NDArray[np.float32]:
    """Logits that transformers computes in fp32, float32 of shape (pairs,): each pair alone, the document cut.

    Raises:
        ExportFailed: the model's files lack some of its weights.
    """
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    model = load_decoder(source, scoring) if scoring.decoder else load_encoder(source)
    logits = np.empty(len(pairs), np.float32)
    with torch.inference_mode():
        for at, (query, document) in enumerate(pairs):
            encoded = _encoded(tokenizer, scoring, query, document, max_tokens)
            output = model(**encoded).logits[0]
            row = (output[-1] if scoring.generative else output)[list(scoring.rows)]
            logits[at] = (row[0] if len(row) == 1 else row[0] - row[1]).item()
    return logits


def _encoded(tokenizer: Any, scoring: Scoring, query: str, document: str, max_tokens: int) -> dict[str, Any]:
    """A pair as the model's own code would feed it."""
    import torch

    if scoring.template:
        ids = torch.tensor([_written(tokenizer, scoring.template, query, document, max_tokens)])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    # lists, since a bare "" as the second text counts as none, and the query is then encoded alone
    encoded = tokenizer([query], [document], truncation="only_second", max_length=max_tokens, return_tensors="pt")
    return {name: value for name, value in encoded.items() if not (scoring.decoder and name == "token_type_ids")}


def _written(tokenizer: Any, template: Template, query: str, document: str, max_tokens: int) -> list[int]:
    """A pair's token ids by transformers' tokenizer, each text of the template by itself."""

    def ids(texts: Sequence[str]) -> list[int]:
        return [one for text in texts for one in tokenizer(text, add_special_tokens=False).input_ids]

    head, tail = ids(template.head(query)), ids(template.after)
    return [*head, *ids([template.lead + document])[: max_tokens - len(head) - len(tail)], *tail]


def compare(bundle: Bundle, source: Source, scoring: Scoring = CLASSIFIER) -> Parity:
    """Score the built-in pairs with the bundle, by the code that serves it, and with transformers.

    Raises:
        ExportFailed: one of them cannot score them.
    """
    try:
        expected = reference_logits(source, PAIRS, bundle.manifest.max_tokens, scoring)
        alone, together = _bundle_logits(bundle)
    except ExportFailed:
        raise
    except Exception as error:
        what = one_line(error).replace(f"{bundle.folder}/", "")  # a folder that is gone when this is read
        raise ExportFailed(f"{source.id} exports, but cannot be scored with: {what}") from error
    differences = np.abs(alone - expected)
    return Parity(
        len(PAIRS),
        TOLERANCE,
        float(differences.max()),
        float(np.abs(together - alone).max()),
        int(differences.argmax()),
    )


def sample(bundle: Bundle) -> list[Batch]:
    """A few of the built-in pairs as batches, padded and not, to compare graphs on."""
    pairs = _encode(bundle)[: len(_DOCUMENTS) - 1]  # all but the longest document
    limits = BatchLimits(max_length=bundle.manifest.max_tokens)
    return [collate(batch, pad_id=bundle.manifest.pad_id, limits=limits) for batch in (pairs, pairs[:1], pairs[-1:])]


def _encode(bundle: Bundle) -> list[EncodedPair]:
    manifest = bundle.manifest
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
    return [
        pair for query in _QUERIES for pair in tokenizer.encode_documents(tokenizer.encode_query(query), _DOCUMENTS)
    ]


def _bundle_logits(bundle: Bundle) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits of the built-in pairs scored each alone, and two by two, padded to the longer."""
    session = CrossEncoder(bundle.graph)
    pairs = _encode(bundle)

    def score(size: int) -> NDArray[np.float32]:
        batches = [pairs[at : at + size] for at in range(0, len(pairs), size)]
        return np.concatenate(
            [session.score(collate(batch, pad_id=bundle.manifest.pad_id, limits=BatchLimits())) for batch in batches]
        )

    return score(1), score(_ROWS)


def versions() -> dict[str, str]:
    """Of the packages that took part."""
    return {
        name: importlib.metadata.version(name)
        for name in ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "tokenizers")
    }

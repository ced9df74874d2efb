"""The parity set, and how alike two rankings of it are.

200 queries in 13 languages, each with the 20 candidates that BM25 finds for it among 800 passages, from titles to
pages; written for this project. tests/golden/make_parity.py chose the candidates.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import InvalidRequest
from rerank_service.scheduling.batching import EncodedPair

_FILE = "parity.jsonl"


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its candidates."""

    text: str
    language: str
    documents: tuple[str, ...]


def queries() -> tuple[Query, ...]:
    """The parity set. Neighbours are of different topics, so that a few stand for all."""
    topics = [json.loads(line) for line in _content().splitlines()]
    passages = [passage for topic in topics for passage in topic["documents"]]
    return tuple(
        Query(query["text"], topic["language"], tuple(passages[number] for number in query["candidates"]))
        for of_each_topic in zip(*(topic["queries"] for topic in topics), strict=True)
        for topic, query in zip(topics, of_each_topic, strict=True)
    )


def digest() -> str:
    """sha256 of the parity set, in hex."""
    return hashlib.sha256(_content()).hexdigest()


def encoded(
    tokenizer: PairTokenizer, *, most: int | None = None, max_tokens_per_doc: int | None = None
) -> list[list[EncodedPair]]:
    """The pairs of each query, of the first `most` of them; without queries too long for the model's window."""
    pairs = []
    for query in queries()[:most]:
        with suppress(InvalidRequest):
            head = tokenizer.encode_query(query.text)
            pairs.append(tokenizer.encode_documents(head, query.documents, max_tokens_per_doc=max_tokens_per_doc))
    return pairs


def kendall_tau_b(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Agreement of two scorings of the same n documents, both of shape (n,), from -1 to 1: concordant minus
    discordant pairs of documents over those that are not tied (Kendall, The treatment of ties in ranking problems,
    Biometrika 1945). One that ties all documents agrees with nothing: 0, unless both do: 1; nor does one that is not
    finite: 0."""
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return 0.0
    upper = np.triu_indices(len(first), 1)
    ours = np.sign(np.subtract.outer(first, first))[upper]
    theirs = np.sign(np.subtract.outer(second, second))[upper]
    untied = int(np.count_nonzero(ours)), int(np.count_nonzero(theirs))
    if not all(untied):
        return float(untied == (0, 0))
    return float((ours * theirs).sum() / np.sqrt(untied[0] * untied[1]))


def _content() -> bytes:
    return (resources.files(__package__) / _FILE).read_bytes()

"""The parity set, and Kendall's tau-b of two rankings.

The set has 200 queries in 13 languages. Each has the 20 candidates that BM25 finds for it among 800 passages, from
titles to whole pages. It was written for this project; tests/golden/make_parity.py selected the candidates.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import EncodedPair

_FILE = "parity.jsonl"


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its candidates."""

    text: str
    language: str
    documents: tuple[str, ...]


def queries() -> tuple[Query, ...]:
    """Return the parity set. Neighbouring queries have different topics, so a short prefix is representative."""
    topics = [json.loads(line) for line in _content().splitlines()]
    passages = [passage for topic in topics for passage in topic["documents"]]
    return tuple(
        Query(query["text"], topic["language"], tuple(passages[number] for number in query["candidates"]))
        for query_per_topic in zip(*(topic["queries"] for topic in topics), strict=True)
        for topic, query in zip(topics, query_per_topic, strict=True)
    )


def digest() -> str:
    """Return the sha256 of the parity set, in hex."""
    return hashlib.sha256(_content()).hexdigest()


def encoded(
    tokenizer: PairTokenizer, *, max_queries: int | None = None, max_tokens_per_doc: int | None = None
) -> list[list[EncodedPair]]:
    """Return the pairs of each of the first `max_queries` queries.

    Queries that exceed the token limit of the model are left out.

    Raises:
        BundleInvalid: all queries exceed it, so no engine can be measured.
    """
    pairs = []
    for query in queries()[:max_queries]:
        with suppress(InvalidRequest):
            encoded_query = tokenizer.encode_query(query.text)
            pairs.append(
                tokenizer.encode_documents(encoded_query, query.documents, max_tokens_per_doc=max_tokens_per_doc)
            )
    if not pairs:
        raise BundleInvalid(
            f"engines cannot be measured: no query of the parity set fits the model's limit of "
            f"{counted(tokenizer.max_tokens, 'token')}. Choose an engine by --provider and --precision"
        )
    return pairs


def kendall_tau_b(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the rank correlation, from -1 to 1, of two scorings of the same n documents, both of shape (n,).

    It is the number of concordant minus discordant pairs of documents, divided by the geometric mean of the numbers of
    pairs that each scoring does not tie (Kendall, The treatment of ties in ranking problems, Biometrika 1945).

    Two special cases: scores that are not finite give 0. If one scoring ties all documents, the result is 1 if the
    other one does so as well, else 0.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return 0.0
    upper = np.triu_indices(len(first), 1)
    first_order = np.sign(np.subtract.outer(first, first))[upper]
    second_order = np.sign(np.subtract.outer(second, second))[upper]
    untied = int(np.count_nonzero(first_order)), int(np.count_nonzero(second_order))
    if not all(untied):
        return float(untied == (0, 0))
    return float((first_order * second_order).sum() / np.sqrt(untied[0] * untied[1]))


def _content() -> bytes:
    return (resources.files(__package__) / _FILE).read_bytes()

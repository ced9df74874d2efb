"""What tells one pair from all others: a digest of its tokens."""

from collections.abc import Sequence
from hashlib import blake2b

from rerank_service.encoding.tokenizer import EncodedQuery
from rerank_service.ranking.document import Span
from rerank_service.scheduling.batching import EncodedPair

KEY_BYTES = 16
"""128 bits: among 10^9 pairs of one server's life two share a key with a probability of 10^-21."""


class PairKeys:
    """The keys of one query's pairs: equal keys, equal tokens and token types, and so equal scores."""

    def __init__(self, query: EncodedQuery, identity: bytes) -> None:
        """`identity` is a secret that the model was given when it was loaded. So no two models share a key, nor does
        a model with its next version; and a caller cannot look for pairs that collide."""
        self._identity = identity
        self._begun = blake2b(key=identity, digest_size=KEY_BYTES)
        sizes = (len(query.head), len(query.tail), query.document_type)
        self._begun.update(" ".join(map(str, sizes)).encode() + b"\0")  # so that what follows can be read in one way
        for segment in (query.head, query.tail):
            self._begun.update(segment.ids.tobytes())
            self._begun.update(segment.type_ids.tobytes())

    def with_query(self, query: EncodedQuery) -> "PairKeys":
        """The keys of another query's pairs, for the same model."""
        return PairKeys(query, self._identity)

    def of(self, pair: EncodedPair) -> bytes:
        """The key of a pair of the query's. May be called from any thread."""
        digest = self._begun.copy()
        digest.update(pair.document.tobytes())
        return digest.digest()


def windows_key(keys: Sequence[bytes], spans: Sequence[Span]) -> bytes:
    """The key of a document in windows: equal keys, equal windows at the same places."""
    digest = blake2b(b"".join(keys), digest_size=KEY_BYTES)
    digest.update(repr(spans).encode())
    return digest.digest()

"""The key of a pair: a digest of its tokens."""

from collections.abc import Sequence
from hashlib import blake2b

from rerank_service.encoding.encoded_query import EncodedQuery
from rerank_service.ranking.document import Span
from rerank_service.scheduling.batching import EncodedPair

KEY_BYTES = 16
"""Size of a key. With 128 bits, two of 10^9 pairs share a key with a probability of about 10^-21."""


class PairKeys:
    """The keys of one query's pairs. Pairs with equal keys have equal tokens and token types, and so equal scores."""

    def __init__(self, query: EncodedQuery, identity: bytes) -> None:
        """`identity` is a random secret of the loaded model. With it, two models never share a key, not even two
        versions of one model, and callers cannot search for pairs with the same key."""
        self._identity = identity
        self._prefix = blake2b(key=identity, digest_size=KEY_BYTES)
        sizes = (len(query.head), len(query.tail), query.document_type)
        self._prefix.update(" ".join(map(str, sizes)).encode() + b"\0")  # the sizes make the rest unambiguous
        for segment in (query.head, query.tail):
            self._prefix.update(segment.ids.tobytes())
            self._prefix.update(segment.type_ids.tobytes())

    def with_query(self, query: EncodedQuery) -> "PairKeys":
        """Return the keys of another query's pairs, for the same model."""
        return PairKeys(query, self._identity)

    def of(self, pair: EncodedPair) -> bytes:
        """Return the key of a pair of this query. Thread-safe."""
        digest = self._prefix.copy()
        digest.update(pair.document.tobytes())
        return digest.digest()


def windows_key(keys: Sequence[bytes], spans: Sequence[Span]) -> bytes:
    """Return the key of a document in windows. Equal keys mean equal windows at equal positions.

    `keys` are those of the windows' pairs, `spans` their positions in the text.
    """
    digest = blake2b(b"".join(keys), digest_size=KEY_BYTES)
    digest.update(repr(spans).encode())
    return digest.digest()

"""Warm up a model: run a few batches before the first request.

A model that cannot run fails here, the first request finds warm caches, and the cost model learns the speed.
"""

import time

import numpy as np

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.session import CrossEncoder
from rerank_service.error_text import one_line
from rerank_service.errors import BundleInvalid
from rerank_service.models.files import AGAIN
from rerank_service.scheduling.batching import BatchLimits, EncodedPair, collate
from rerank_service.scheduling.cost_model import CostModel

_LONGEST = 512
"""Tokens of the longest row. It shows that the model's last position exists; more tokens would take seconds."""
_QUERY = "warm up"
_DOCUMENT = " document"


def warm_up(
    encoder: CrossEncoder, tokenizer: PairTokenizer, cost: CostModel, *, pad_id: int, limits: BatchLimits
) -> None:
    """Run a few batches, and let the cost model learn from them.

    Raises:
        BundleInvalid: the model does not run, or returns a logit that is not finite.
    """
    query = tokenizer.encode_query(_QUERY)
    longest = min(tokenizer.max_tokens, _LONGEST)
    for words, rows in ((1, 4), (1, 4), (10, 4), (50, 4), (longest, 1)):
        texts = [_DOCUMENT * words] * rows
        if words == 1:  # a padded row shows that the graph knows the token of padding
            texts[-1] *= 3
        pairs = tokenizer.encode_documents(query, texts)
        batch = collate(pairs, pad_id=pad_id, limits=limits)
        started = time.perf_counter()
        try:
            logits = encoder.score(batch)
        except BundleInvalid:
            raise
        except Exception as error:
            raise BundleInvalid(
                f"the model does not run: {one_line(error)}. Its files do not fit together: {AGAIN}"
            ) from error
        if words > 1:  # the first runs are slower than any later one
            cost.observe(batch.rows, batch.length, time.perf_counter() - started)
        if not np.isfinite(logits).all():
            raise BundleInvalid(f"the model returns logits that are not finite: {logits.tolist()}: {AGAIN}")


def short_pair(tokenizer: PairTokenizer) -> EncodedPair:
    """Return the shortest pair of the warm-up: a model that was loaded has scored it."""
    (pair,) = tokenizer.encode_documents(tokenizer.encode_query(_QUERY), [_DOCUMENT])
    return pair

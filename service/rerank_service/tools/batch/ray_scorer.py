"""The scorer for Ray Data: one actor with a loaded model, whose lanes score the pairs of each batch."""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from rerank_service.errors import OperatorError
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import RerankRequest
from rerank_service.tools.batch.bulk_scorer import BulkScorer
from rerank_service.tools.batch.job_identity import changes
from rerank_service.tools.batch.model_identity import model_identity
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.parts import Pairs
from rerank_service.tools.batch.rows import row_error

CALLS_PER_ACTOR = 2
"""Calls that run at the same time in an actor: while the lanes run the pairs of one, the other is tokenized."""


@dataclass(frozen=True, slots=True)
class ActorOptions:
    """The model and the options that an actor loads."""

    model: ModelOptions
    limits: RequestLimits
    request: RerankRequest
    """The reading of documents and the score type; its query is not used."""
    identity: dict[str, str] | None = None
    """The model that each node must have. None: not checked."""


class RayScorer:
    """Adds the columns `score` and `error` to batches with the columns `query` and `document`.

    For `Dataset.map_batches` with `ActorPoolStrategy`; `num_cpus` should be the number of `lanes`. `score` is NaN, and
    `error` not empty, for a pair that cannot be scored.
    """

    def __init__(self, options: ActorOptions, lanes: int) -> None:
        """Load the model, once per actor.

        Raises:
            OperatorError: the model cannot be loaded, or is not that of `options.identity`.
        """
        os.environ.setdefault("RAYON_NUM_THREADS", str(lanes))
        model = load_selected(replace(options.model, lanes=lanes))
        different = changes(options.identity, model_identity(model)) if options.identity else []
        if different:
            raise OperatorError(f"a node of the cluster has another model or engine: {'; '.join(different)}")
        self._scorer = BulkScorer(model, options.limits, options.request)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score a batch of columns. A pair is valid by the rules of `rerank batch`."""
        queries, documents = batch["query"].tolist(), batch["document"].tolist()
        errors = [
            row_error(query, [document], is_list=False, names=("query", "document"))
            for query, document in zip(queries, documents, strict=True)
        ]
        valid = [at for at, error in enumerate(errors) if not error]
        scored = self.score(Pairs([queries[at] for at in valid], [documents[at] for at in valid]))
        for place, error in scored.errors.items():
            errors[valid[place]] = error
        scores = np.full(len(errors), np.nan)
        scores[valid] = scored.scores
        return {**batch, "score": scores, "error": np.array(errors, np.str_)}

    def score(self, pairs: Pairs) -> PairScores:
        """Score pairs. Thread-safe."""
        return self._scorer.submit(pairs)()


class PartScorer(RayScorer):
    """Scores whole parts: each row of a batch is a part, with lists of queries and documents."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return number, scores, order and errors of each part."""
        parts = [self.score(Pairs(part["query"], part["document"])) for part in batch.to_pylist()]
        return pa.table(
            {
                "part": batch["part"],
                "score": pa.array([scored.scores for scored in parts], pa.list_(pa.float64())),
                "order": pa.array([scored.order for scored in parts], pa.list_(pa.float64())),
                "failed": pa.array([list(scored.errors) for scored in parts], pa.list_(pa.int64())),
                "error": pa.array([list(scored.errors.values()) for scored in parts], pa.list_(pa.string())),
            }
        )

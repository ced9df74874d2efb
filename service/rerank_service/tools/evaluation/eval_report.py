"""An evaluation as JSON, and as a run that other tools read."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rerank_service.tools.evaluation.measures import CUTOFF, Figures, Measures, mean
from rerank_service.tools.evaluation.run import Evaluated, QueryResult, Unscored
from rerank_service.tools.offline_scoring import Scorer

_TAG = "rerank"


def report(scorer: Scorer, measures: Measures, evaluated: Sequence[Evaluated]) -> dict[str, Any]:
    """All figures, down to those of each query."""
    return {
        "model": scorer.model,
        "engine": scorer.engine,
        "measures": {"cutoff": CUTOFF, **asdict(measures)},
        "collections": [_collection(one, measures) for one in evaluated],
        "mean": {
            "before": _named(mean([one.before for one in evaluated]), measures),
            "after": _named(mean([one.after for one in evaluated]), measures),
        },
    }


def _collection(one: Evaluated, measures: Measures) -> dict[str, Any]:
    return {
        "name": one.collection.name,
        "queries": len(one.results),
        "pairs": one.collection.pairs,
        "seconds": round(one.seconds, 3),
        "windows": one.read.windows,
        "documents_in_windows": one.read.in_windows,
        "documents_cut": one.read.cut,
        **{f"queries_{reason}": one.unscored(reason) for reason in Unscored},
        "queries_without_relevant": one.collection.queries_without_relevant,
        "queries_unjudged": one.collection.unjudged,
        "candidates_without_text": one.collection.candidates_without_text,
        "before": _named(one.before, measures),
        "after": _named(one.after, measures),
        "by_query": {
            result.query.qid: {"before": _named(result.before, measures), "after": _named(result.after, measures)}
            for result in one.results
        },
    }


def _named(figures: Figures, measures: Measures) -> dict[str, float]:
    return {
        f"ndcg@{CUTOFF}": figures.ndcg,
        f"mrr@{CUTOFF}": figures.mrr,
        f"recall@{measures.recall_at}": figures.recall,
    }


def run_lines(evaluated: Evaluated) -> Iterator[str]:
    """A TREC run. Scores are the logits; one that equals the one before is written the least bit lower, since tools
    that read runs order ties by docid."""
    for result in evaluated.results:
        for place, (at, score) in enumerate(zip(result.order, _falling(result), strict=True), 1):
            document = result.query.candidates[at]
            yield f"{result.query.qid} Q0 {document.id} {place} {score:.9g} {_TAG}"


def _falling(result: QueryResult) -> Iterator[np.float32]:
    """Scores in the order of the ranking, each below the one before, in the float32 that trec_eval computes with."""
    before = np.float32(np.inf)
    for place, at in enumerate(result.order):
        score = np.float32(-place) if result.logits is None else result.logits[at]
        before = min(score, np.nextafter(before, np.float32(-np.inf)))
        yield before

"""Output files of an evaluation: a JSON report, and the model's ranking as a TREC run."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rerank_service.error_text import excerpt
from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.collection import Collection
from rerank_service.tools.evaluation.evaluate import CollectionResult, QueryResult, Unscored
from rerank_service.tools.evaluation.measures import CUTOFF, Measures, MeasureValues, mean
from rerank_service.tools.offline_scoring import Scorer

_TAG = "rerank"


def eval_report(scorer: Scorer, measures: Measures, results: Sequence[CollectionResult]) -> dict[str, Any]:
    """Return all measures as JSON, from the mean of the collections to each query."""
    return {
        "model": scorer.model,
        "engine": scorer.engine,
        "measures": {"cutoff": CUTOFF, **asdict(measures)},
        "collections": [_collection(result, measures) for result in results],
        "mean": {
            "before": _named(mean([result.before for result in results]), measures),
            "after": _named(mean([result.after for result in results]), measures),
        },
    }


def _collection(result: CollectionResult, measures: Measures) -> dict[str, Any]:
    collection, scored = result.collection, result.scored
    return {
        "name": collection.name,
        "queries": len(result.queries),
        "pairs": collection.pairs,
        "seconds": round(result.seconds, 3),
        "windows": scored.windows,
        "documents_in_windows": scored.in_windows,
        "documents_cut": scored.truncated,
        "queries_cut": scored.queries_truncated,
        **{f"queries_{reason}": result.unscored(reason) for reason in Unscored},
        "queries_without_relevant": collection.queries_without_relevant,
        "queries_unjudged": collection.unjudged,
        "candidates_without_text": collection.candidates_without_text,
        "before": _named(result.before, measures),
        "after": _named(result.after, measures),
        "by_query": {
            query.query.qid: {"before": _named(query.before, measures), "after": _named(query.after, measures)}
            for query in result.queries
        },
    }


def _named(values: MeasureValues, measures: Measures) -> dict[str, float]:
    return {
        f"ndcg@{CUTOFF}": values.ndcg,
        f"mrr@{CUTOFF}": values.mrr,
        f"recall@{measures.recall_at}": values.recall,
    }


def check_run_ids(collection: Collection) -> None:
    """Check that the ids of a collection can be written as a TREC run, whose columns are separated by white space.

    Raises:
        FileInvalid: an id has white space, or is empty.
    """
    for query in collection.queries:
        for name in (query.qid, *(candidate.id for candidate in query.candidates)):
            if len(name.split()) != 1:
                raise FileInvalid(f"{query.place}: id {excerpt(name)!r} has white space, which a TREC run cannot have")


def run_lines(result: CollectionResult) -> Iterator[str]:
    """Yield the lines of a TREC run: `qid Q0 docid rank score tag`.

    Scores are the logits. Tools that read runs order equal scores by docid, so a tied score is written as the next
    smaller float32.
    """
    for query in result.queries:
        for rank, (position, score) in enumerate(zip(query.order, _strictly_falling(query), strict=True), 1):
            document = query.query.candidates[position]
            yield f"{query.query.qid} Q0 {document.id} {rank} {score:.9g} {_TAG}"


def _strictly_falling(result: QueryResult) -> Iterator[np.float32]:
    """Yield scores in ranking order, each below the one before, in the float32 that trec_eval computes with."""
    before = np.float32(np.inf)
    for rank, position in enumerate(result.order):
        score = np.float32(-rank) if result.logits is None else result.logits[position]
        before = min(score, np.nextafter(before, np.float32(-np.inf)))
        yield before

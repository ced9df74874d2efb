"""The model's files read and checked: its config, its weights, and how it scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rerank_export.scoring.model_scoring import Scoring, resolve_scoring
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.source.model_config import read_config
from rerank_export.source.model_source import ModelSource
from rerank_export.source.weight_files import check_weights
from rerank_service.ranking.scores import Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedModel:
    """A model that can be exported."""

    source: ModelSource
    config: dict[str, Any]
    """config.json with the defaults of transformers."""
    scoring: Scoring


def inspect_model(source: ModelSource, options: ScoringOptions) -> InspectedModel:
    """Read the config, find out how the model scores, and check that it has weights.

    Raises:
        ExportFailed: a file is missing or invalid, or it is unclear how the model scores.
    """
    config = read_config(source)
    scoring = resolve_scoring(source, config, options)
    check_weights(source.folder, source.id)
    return InspectedModel(source=source, config=config, scoring=scoring)


def notices(scoring: Scoring) -> Iterator[str]:
    """Yield the choices that the user should check: they decide the meaning of a score."""
    if scoring.template:
        yield f"the template comes from {scoring.template_origin}"
    elif scoring.template_origin:
        yield f"pairs have the tokenizer's own format ({scoring.template_origin})"
    if scoring.activation is Activation.IDENTITY:
        yield "relevance scores are logits (--activation identity)"
    elif scoring.configured is Activation.IDENTITY:
        yield (
            "the model's files configure no activation: relevance scores are sigmoids all the same (--activation "
            "identity makes them logits)"
        )

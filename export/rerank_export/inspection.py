"""The model's files read and checked: its config, its tokenizer, and how it scores. The weights are not needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from rerank_export.scoring.architecture import read_architecture
from rerank_export.scoring.model_scoring import Scoring, resolve_scoring
from rerank_export.scoring.pair_format_check import check_pair_format
from rerank_export.scoring.pair_template import USER, template_doubts
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.source.model_config import read_config
from rerank_export.source.model_source import ModelSource
from rerank_export.source.tokenizer_file import read_tokenizer
from rerank_service.ranking.scores import Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedModel:
    """A model that can be exported."""

    source: ModelSource
    config: dict[str, Any]
    """config.json with the defaults of transformers."""
    scoring: Scoring
    tokenizer: bytes
    """Content of the bundle's tokenizer.json."""


def inspect_model(source: ModelSource, options: ScoringOptions) -> InspectedModel:
    """Read config and tokenizer, and find out how the model scores.

    Raises:
        ExportFailed: a file is missing or invalid, the architecture cannot be exported, or the template or the meaning
            of the logits is not known.
    """
    config = read_config(source)
    read_architecture(source, config)  # refused before the tokenizer is read, which may take long
    tokenizer = read_tokenizer(source)
    scoring = resolve_scoring(source, config, options)
    if not scoring.template_origin:
        pair_tokenizer = Tokenizer.from_str(tokenizer.decode())
        check_pair_format(source.id, config["model_type"], config["architectures"][0], pair_tokenizer)
    return InspectedModel(source=source, config=config, scoring=scoring, tokenizer=tokenizer)


def notices(scoring: Scoring) -> Iterator[str]:
    """Yield the choices that the user should check: they decide the meaning of a score."""
    if scoring.template:
        yield f"the template comes from {scoring.template_origin}"
        if scoring.template_origin == USER:
            yield from template_doubts(scoring.template)
    elif scoring.template_origin:
        yield f"pairs have the tokenizer's own format ({scoring.template_origin})"
    if scoring.graph_tokens and scoring.graph_tokens < (scoring.max_tokens or scoring.graph_tokens + 1):
        yield (
            f"pairs have at most {scoring.graph_tokens:,} tokens: the model computes longer ones in another way, which "
            "the graph does not hold"
        )
    if scoring.activation is Activation.IDENTITY:
        yield "relevance scores are logits (--activation identity)"
    elif scoring.configured is Activation.IDENTITY:
        yield (
            "the model's files configure no activation: relevance scores are sigmoids all the same (--activation "
            "identity makes them logits)"
        )

"""The scoring of one model, resolved from options, files and recipes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rerank_export.errors import ExportFailed
from rerank_export.scoring.answer_tokens import answer_tokens
from rerank_export.scoring.label_rows import relevant_first
from rerank_export.scoring.pair_template import choose_template
from rerank_export.scoring.recipe import PublishedPrompt
from rerank_export.scoring.recipe_choice import recipe_for, recipe_named, unsupported_family
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.scoring.sentence_transformers_files import Overridden, read_cross_encoder
from rerank_export.source.model_source import ModelSource
from rerank_service.encoding.template import Template
from rerank_service.models.files import CONFIG, read_json
from rerank_service.ranking.scores import Activation

_CLASSIFIER, _GENERATOR = "ForSequenceClassification", "ForCausalLM"
"""Suffixes of architecture names."""
DECODERS = ("gemma", "gemma2", "llama", "mistral", "qwen2", "qwen3")
"""`model_type` of the decoders that can be exported. The tests compare each of them with torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """The scoring of a pair by a model. The defaults are those of a cross-encoder with one label."""

    decoder: bool = False
    """True: the last real token is scored. False: the model's own head decides which token it reads."""
    generative: bool = False
    """True: `rows` are rows of a text generator's output matrix. False: rows of a classifier."""
    rows: tuple[int, ...] = (0,)
    """Indexes of one or two logits. The score is the first logit, or the first minus the second."""
    activation: Activation = Activation.SIGMOID
    """The function from the logit to the relevance score."""
    template: Template | None = None
    """None: the tokenizer's own format of a pair."""
    template_origin: str = ""
    """The origin of the template in words; empty if nothing names one (scoring/pair_format_check.py)."""
    published: PublishedPrompt | None = None
    """The prompt in one string, if the template is that of a recipe that has one."""
    max_tokens: int | None = None
    """Upper limit of the window; None: the model's own limit."""
    configured: Activation | None = None
    """The activation in the model's files. It is recorded and not served: a relevance score is in [0, 1]
    (docs/decisions/0018-probabilities-by-default.md)."""

    @property
    def task(self) -> str:
        """The name of the task in transformers."""
        return "text-generation" if self.generative else "text-classification"


def resolve_scoring(source: ModelSource, config: Mapping[str, Any], options: ScoringOptions) -> Scoring:
    """Find out how a model scores.

    `config` is config.json with the defaults of transformers (`read_config`).

    Raises:
        ExportFailed: the model is no reranker, or it is unclear how it scores; the message names the missing option.
    """
    architecture = next(iter(config.get("architectures") or [""]))
    kind = str(config.get("model_type"))
    _check_family(source, options)
    recipe = recipe_named(options.template or "") or recipe_for(_names(source), kind)
    overridden = Overridden(
        activation=options.activation is not None,
        template=options.template is not None,
        answers=options.yes is not None,
    )
    files = read_cross_encoder(source.folder, source.id, overridden)
    chosen = choose_template(source.id, options, files.template, recipe)
    generative = architecture.endswith(_GENERATOR)
    if generative:
        _check_generator(source, kind)
        rows = answer_tokens(source, kind, options, files.answers, recipe, has_template=chosen.template is not None)
    elif architecture.endswith(_CLASSIFIER):
        rows = relevant_first(source.id, _labels(config), options.relevant)
    else:
        raise ExportFailed(
            f"{source.id} cannot score a pair: its architecture {architecture or '(missing in config.json)'} is "
            f"neither a cross-encoder (…{_CLASSIFIER}) nor a text generator (…{_GENERATOR})"
        )
    return Scoring(
        decoder=kind in DECODERS,
        generative=generative,
        rows=rows,
        activation=options.activation or Activation.SIGMOID,
        template=chosen.template,
        template_origin=chosen.origin,
        published=chosen.published,
        max_tokens=options.max_tokens or (recipe.max_tokens if recipe else None),
        configured=files.activation,
    )


def _names(source: ModelSource) -> list[str]:
    """Return the names that a recipe may match: the hub id or folder name, and the name in config.json."""
    original = read_json(source.folder / CONFIG).get("_name_or_path")
    return [source.id, *([original] if isinstance(original, str) else [])]


def _labels(config: Mapping[str, Any]) -> dict[int, str]:
    return {int(index): str(label) for index, label in config["id2label"].items()}


def _check_family(source: ModelSource, options: ScoringOptions) -> None:
    family = unsupported_family(_names(source))
    if family and not options.template:
        raise ExportFailed(f"{source.id} {family.reason}: it cannot be exported (see {family.source})")


def _check_generator(source: ModelSource, kind: str) -> None:
    if kind not in DECODERS:
        raise ExportFailed(
            f"{source.id} is a text generator of type {kind}, which cannot be exported: supported types are "
            f"{', '.join(DECODERS)}"
        )

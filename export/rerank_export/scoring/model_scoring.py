"""The scoring of one model, resolved from options, files and recipes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rerank_export.errors import ExportFailed
from rerank_export.scoring.answer_tokens import answer_tokens
from rerank_export.scoring.architecture import read_architecture
from rerank_export.scoring.graph_window import graph_window
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """The scoring of a pair by a model. The defaults are those of a cross-encoder with one label."""

    decoder: bool = False
    """True: the last real token is scored. False: the model's own head decides which token it reads."""
    generative: bool = False
    """True: `rows` are rows of a text generator's output matrix. False: rows of a classifier."""
    encoder_decoder: bool = False
    """True: the first token that the decoder generates is scored. Such a model is generative."""
    rows: tuple[int, ...] = (0,)
    """Indexes of one or two logits. The score is the first logit, or the first minus the second."""
    activation: Activation = Activation.SIGMOID
    """The function from the logit to the relevance score."""
    template: Template | None = None
    """None: the tokenizer's own format of a pair."""
    template_origin: str = ""
    """The origin of the template in words; empty if nothing names one (scoring/pair_format_check.py)."""
    published: PublishedPrompt | None = None
    """The prompt in one string, if the recipe has one or the template is a converted chat template."""
    max_tokens: int | None = None
    """Upper limit of the window; None: the model's own limit."""
    graph_tokens: int | None = None
    """The length up to which one graph is valid; None: any length."""
    configured: Activation | None = None
    """The activation in the model's files. It is recorded and not served: a relevance score is in [0, 1]
    (docs/decisions/0018-probabilities-by-default.md)."""

    @property
    def task(self) -> str:
        """The name of the task in transformers."""
        if self.encoder_decoder:
            return "text2text-generation"
        return "text-generation" if self.generative else "text-classification"


def resolve_scoring(source: ModelSource, config: Mapping[str, Any], options: ScoringOptions) -> Scoring:
    """Find out how a model scores.

    `config` is config.json with the defaults of transformers (`read_config`).

    Raises:
        ExportFailed: the model cannot be exported, or it is unclear how it scores; the message says why.
    """
    architecture = read_architecture(source, config)
    _check_family(source, options)
    _check_head(source, options, generative=architecture.generative)
    recipe = recipe_named(options.template or "") or recipe_for(_names(source), architecture.kind)
    overridden = Overridden(
        activation=options.activation is not None,
        template=options.template is not None,
        answers=options.yes is not None,
    )
    files = read_cross_encoder(source, overridden)
    chosen = choose_template(source.id, options, files.prompt, recipe)
    if architecture.generative:
        rows = answer_tokens(
            source, architecture.kind, options, files.answers, recipe, has_template=chosen.template is not None
        )
    else:
        rows = relevant_first(source.id, _labels(config), options.relevant)
    return Scoring(
        decoder=architecture.decoder,
        generative=architecture.generative,
        encoder_decoder=architecture.encoder_decoder,
        rows=rows,
        activation=options.activation or Activation.SIGMOID,
        template=chosen.template,
        template_origin=chosen.origin,
        published=chosen.published,
        max_tokens=options.max_tokens or (recipe.max_tokens if recipe else None),
        graph_tokens=graph_window(config),
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
        raise ExportFailed(
            f"{source.id} {family.reason}: it cannot be exported (see {family.source}). If only its name is like that, "
            "set --template"
        )


def _check_head(source: ModelSource, options: ScoringOptions, *, generative: bool) -> None:
    """Reject options of the other kind of model. Without an effect, they would mislead about the score."""
    if generative and options.relevant is not None:
        raise ExportFailed(
            f"--relevant chooses one of two labels, and {source.id} generates text: set --yes and --no instead"
        )
    if not generative and (options.yes is not None or options.no is not None):
        raise ExportFailed(
            f"--yes and --no choose tokens of a text generator, and {source.id} has a classification head: leave them "
            "out"
        )

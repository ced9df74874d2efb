"""How a model makes one logit of a pair: with which head, of which texts, by which activation.

Rule: what is not stated, by the model's files, by a recipe of its family or by options, is asked for and not guessed.
"""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rerank_export.errors import ExportFailed
from rerank_export.labels import relevant_first
from rerank_export.recipes import RECIPES, Recipe, recipe_for, recipe_named
from rerank_export.sentence_transformers import CrossEncoderFiles, Overruled, read_cross_encoder
from rerank_export.source import Source
from rerank_service.encoding.template import DOCUMENT, INSTRUCTION, QUERY, Template
from rerank_service.errors import excerpt
from rerank_service.models.files import CONFIG, read_json
from rerank_service.ranking.scores import Activation

CLASSIFIER, GENERATOR = "ForSequenceClassification", "ForCausalLM"
DECODERS = ("gemma", "gemma2", "llama", "mistral", "qwen2", "qwen3")
"""`model_type` of decoders whose last token is scored, each of which the tests compare with torch."""
PAIR = "pair"
"""As --template: as the tokenizer itself lays out a pair."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller says of a model. None: what its files or its family's recipe say."""

    template: str | None = None
    """A recipe's name, a file, "pair", or the template itself, with {query}, {document} and perhaps {instruction}."""
    instruction: str | None = None
    yes: str | None = None
    no: str | None = None
    """Empty: the logit of `yes` alone is the score."""
    relevant: str | None = None
    """Which of two labels means relevant."""
    activation: Activation | None = None
    max_tokens: int | None = None
    without_passes: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a model scores."""

    decoder: bool
    """The last real token is scored, else what the model's own head reads."""
    generative: bool
    """The rows are those of a text generator's output matrix, else of a classifier's."""
    rows: tuple[int, ...]
    """The logit of the first is the score; of two, the first's less the second's."""
    activation: Activation
    """What makes a relevance score of the logit."""
    template: Template | None = None
    max_tokens: int | None = None
    """What the window is cut to."""
    why: str = ""
    """Where the template comes from."""
    configured: Activation | None = None
    """The activation that the model's files name. It is kept and not served: a relevance score is in [0, 1]
    (docs/decisions/0018-probabilities-by-default.md)."""

    @property
    def task(self) -> str:
        """What transformers calls it."""
        return "text-generation" if self.generative else "text-classification"


ONE_LABEL = Scoring(decoder=False, generative=False, rows=(0,), activation=Activation.SIGMOID)
"""A cross-encoder with one label, as most are."""


def scoring_of(source: Source, config: Mapping[str, Any], wishes: Wishes) -> Scoring:
    """Find out how a model scores.

    Raises:
        ExportFailed: it is no reranker, or it is not clear how it scores; the line says what to give.
    """
    architecture = next(iter(config.get("architectures") or [""]))
    recipe = recipe_for(_names(source), str(config.get("model_type")))
    overruled = Overruled(
        activation=wishes.activation is not None, template=wishes.template is not None, answers=wishes.yes is not None
    )
    files = read_cross_encoder(source.folder, source.id, overruled)
    template, why = _template(source, wishes, files, recipe)
    generative = architecture.endswith(GENERATOR)
    decoder = config.get("model_type") in DECODERS
    if generative:
        rows = _answers(source, config, wishes, files, recipe, has_template=template is not None)
    elif architecture.endswith(CLASSIFIER):
        rows = relevant_first(source.id, _labels(config), wishes.relevant)
    else:
        raise ExportFailed(
            f"{source.id} is a {architecture or 'model without a stated architecture'}, neither a "
            f"cross-encoder (…{CLASSIFIER}) nor a generator of text that is asked for one: it gives no score for a pair"
        )
    return Scoring(
        decoder,
        generative,
        rows,
        wishes.activation or Activation.SIGMOID,
        template,
        wishes.max_tokens or (recipe.max_tokens if recipe else None),
        why,
        files.activation,
    )


def _names(source: Source) -> list[str]:
    said = read_json(source.folder / CONFIG).get("_name_or_path")
    return [source.id, *([said] if isinstance(said, str) else [])]


def _labels(config: Mapping[str, Any]) -> dict[int, str]:
    return {int(place): str(label) for place, label in config["id2label"].items()}


def _template(
    source: Source, wishes: Wishes, files: CrossEncoderFiles, recipe: Recipe | None
) -> tuple[Template | None, str]:
    """The template, and where it comes from."""
    if wishes.template == PAIR:
        return None, "--template"
    if wishes.template:
        template, why = _wished(wishes.template), "--template"
    elif files.template:
        template, why = files.template, "the folder's chat template"
    elif recipe:
        template, why = recipe.template, f"the recipe {recipe.name}"
    elif wishes.instruction:
        raise ExportFailed(f"{source.id} has no known template, so no slot for an instruction: give a --template")
    else:
        return None, ""
    if wishes.instruction:
        template = _checked(template.model_dump() | {"instruction": wishes.instruction})
    return template, why


def _wished(requested: str) -> Template:
    recipe = recipe_named(requested)
    if recipe:
        return recipe.template
    text = requested if DOCUMENT in requested else _content(requested)
    if DOCUMENT not in text or QUERY not in text:
        known = ", ".join((PAIR, *(one.name for one in RECIPES)))
        raise ExportFailed(
            f"--template {excerpt(requested)!r} is neither a known one ({known}), nor a "
            f"file or text with {QUERY} and {DOCUMENT} (and {INSTRUCTION}, if it has a place for one)"
        )
    before, _, after = text.partition(DOCUMENT)
    lead = before.rpartition(QUERY)[2].rpartition("\n")[2]
    head = before.removesuffix(lead)
    return _checked({"before": (head,), "document": lead + DOCUMENT, "after": (after,) if after else ()})


def _content(requested: str) -> str:
    """Of a file of that name; the requested itself where there is none."""
    try:
        return Path(requested).read_text(encoding="utf-8") if Path(requested).is_file() else requested
    except UnicodeDecodeError as error:
        raise ExportFailed(f"--template {requested} is not UTF-8 text") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # a text
            return requested
        raise ExportFailed(f"--template {requested} cannot be read: {error.strerror}") from error


def _checked(template: dict[str, Any]) -> Template:
    try:
        return Template.model_validate(template)
    except ValidationError as error:
        raise ExportFailed(f"the template is not one: {error.errors()[0]['msg']}") from error


def _answers(
    source: Source,
    config: Mapping[str, Any],
    wishes: Wishes,
    files: CrossEncoderFiles,
    recipe: Recipe | None,
    *,
    has_template: bool,
) -> tuple[int, ...]:
    """Token ids of the words that a generator is asked for."""
    kind = config.get("model_type")
    if kind not in DECODERS:
        raise ExportFailed(f"{source.id} generates text and is a {kind}; exported are {', '.join(DECODERS)}")
    yes = wishes.yes or (recipe.yes if recipe else None)
    if not has_template or not (yes or files.answers):
        raise ExportFailed(
            f"{source.id} generates text, and nothing says how it is asked for a score: give --template (a text or "
            f"file with {QUERY} and {DOCUMENT}, or one of {', '.join(one.name for one in RECIPES)}), --yes and --no "
            "(the tokens whose logits' difference is the score)"
        )
    if files.answers and not wishes.yes:
        return files.answers
    no = wishes.no if wishes.no is not None else (recipe.no if recipe and not wishes.yes else None)
    if wishes.yes and wishes.no is None:
        raise ExportFailed("--yes wants --no; an empty one (--no '') where the logit of --yes alone is the score")
    assert yes
    token = _token_ids(source)
    answers = (token(yes), token(no)) if no else (token(yes),)
    if len(set(answers)) < len(answers):
        raise ExportFailed(f"--yes {yes!r} and --no {no!r} are one token of {source.id}: every score would be the same")
    return answers


def _token_ids(source: Source) -> Callable[[str], int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)

    def token_id(word: str) -> int:
        ids: list[int] = tokenizer(word, add_special_tokens=False).input_ids
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            raise ExportFailed(f"{word!r} is not one token of {source.id}, so it has no logit")
        return ids[0]

    return token_id

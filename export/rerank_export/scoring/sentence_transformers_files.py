"""Settings of a sentence-transformers CrossEncoder beyond the files of transformers.

Format: https://sbert.net/docs/cross_encoder/usage/custom_models.html. Up to version 5.3 all settings are in
config.json. Since then modules.json lists the modules, config_sentence_transformers.json has activation and prompts,
and a module of its own, LogitScore, turns the logits of a text generator into a score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed
from rerank_export.scoring.chat_template import ChatPrompt, has_chat_template, read_chat_template
from rerank_export.source.model_source import ModelSource
from rerank_export.source.sentence_transformers_modules import read_modules
from rerank_service.models.files import CONFIG, read_json
from rerank_service.ranking.scores import Activation

_SETTINGS = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
_ACTIVATIONS = {"Sigmoid": Activation.SIGMOID, "Identity": Activation.IDENTITY}


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderFiles:
    """Settings found in the files. None: the files do not have that setting."""

    activation: Activation | None = None
    answers: tuple[int, ...] | None = None
    """Token ids of LogitScore: "relevant", then "not relevant" if there is one."""
    prompt: ChatPrompt | None = None
    """The chat template, if the model writes pairs with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overridden:
    """Settings that an option overrides, so the files need not have a valid value."""

    activation: bool = False
    template: bool = False
    answers: bool = False


def read_cross_encoder(source: ModelSource, overridden: Overridden) -> CrossEncoderFiles:
    """Read the settings of a model, except the overridden ones. An overridden activation is read if it is known.

    Raises:
        ExportFailed: a module, an activation or a prompt cannot be exported.
    """
    folder, model = source.folder, source.id
    settings, modules = _optional_json(folder / _SETTINGS), read_modules(folder)
    return CrossEncoderFiles(
        activation=_activation(folder, settings, model, required=not overridden.activation),
        answers=None if overridden.answers else _answers(folder, modules, model),
        prompt=None if overridden.template else _prompt(source, settings, modules),
    )


def _prompt(
    source: ModelSource, settings: Mapping[str, Any], modules: Sequence[Mapping[str, Any]]
) -> ChatPrompt | None:
    model = source.id
    instruction, transformer = _default_prompt(settings, model), _optional_json(source.folder / _TRANSFORMER)
    prompt = None
    if modules and has_chat_template(transformer):
        prompt = read_chat_template(source, transformer, instruction)
        if prompt is None:
            raise ExportFailed(f"{model} writes pairs with a chat template that cannot be converted: set --template")
    if instruction and (prompt is None or not prompt.template.takes_instruction):
        raise ExportFailed(f"{model} has a default prompt, but no chat template with a place for it: set --template")
    return prompt


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _activation(folder: Path, settings: Mapping[str, Any], model: str, *, required: bool) -> Activation | None:
    config = _optional_json(folder / CONFIG)
    nested = config.get("sentence_transformers")
    name = (
        settings.get("activation_fn")
        or (nested.get("activation_fn") if isinstance(nested, dict) else None)
        or config.get("sbert_ce_default_activation_function")
    )
    if name is None:
        return None
    activation = _ACTIVATIONS.get(str(name).rpartition(".")[2])
    if activation is None and required:
        raise ExportFailed(f"{model} has the activation {name}; only Sigmoid and Identity are known: set --activation")
    return activation


def _answers(folder: Path, modules: Sequence[Mapping[str, Any]], model: str) -> tuple[int, ...] | None:
    """Return the token ids of the LogitScore module; None if the model has no such module."""
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds in ([], ["Transformer"]):
        return None
    if kinds != ["Transformer", "LogitScore"]:
        raise ExportFailed(
            f"{model} has the modules {', '.join(kinds)}; only Transformer, alone or with LogitScore, can be exported "
            "(--yes and --no replace LogitScore)"
        )
    path = Path(str(modules[1].get("path", ""))) / CONFIG
    score = read_json(folder / path)
    yes, no = score.get("true_token_id"), score.get("false_token_id")
    answers: tuple[Any, ...] = (yes,) if no is None else (yes, no)
    if not all(type(token) is int and token >= 0 for token in answers):
        raise ExportFailed(f"{path} of {model} has no valid true_token_id and false_token_id: set --yes and --no")
    return answers


def _default_prompt(settings: Mapping[str, Any], model: str) -> str:
    name = settings.get("default_prompt_name")
    if not name:
        return ""
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or str(name) not in prompts:
        raise ExportFailed(f"{_SETTINGS} of {model} has no prompt {name!r}, the value of its default_prompt_name")
    return str(prompts[str(name)])

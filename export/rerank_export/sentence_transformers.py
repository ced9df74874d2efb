"""What a folder of sentence-transformers says of its CrossEncoder, beyond transformers' own files.

Its form: https://sbert.net/docs/cross_encoder/usage/custom_models.html. Up to 5.3 all is in config.json; since then
modules.json names the steps, config_sentence_transformers.json has activation and prompts, and what turns a text
generator's logits into a score is a step of its own, LogitScore.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed
from rerank_export.modules import read_modules
from rerank_service.encoding.template import DOCUMENT, INSTRUCTION, QUERY, Template
from rerank_service.models.files import CONFIG, read_json
from rerank_service.ranking.scores import Activation

_OWN = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
_ACTIVATIONS = {"Sigmoid": Activation.SIGMOID, "Identity": Activation.IDENTITY}


@dataclass(frozen=True, slots=True)
class CrossEncoderFiles:
    """What was found; None where the folder says nothing."""

    activation: Activation | None = None
    answers: tuple[int, ...] | None = None
    """Token ids of LogitScore: that of relevance, and the other where there is one."""
    template: Template | None = None
    """Of the chat template, where pairs are written with it."""


@dataclass(frozen=True, slots=True)
class Overruled:
    """What options say, so that the folder need not."""

    activation: bool = False
    template: bool = False
    answers: bool = False


def read_cross_encoder(folder: Path, model: str, overruled: Overruled) -> CrossEncoderFiles:
    """Read a folder, but for what is overruled; of an activation that is, what can be read.

    Raises:
        ExportFailed: it has steps, an activation or a prompt that cannot be exported.
    """
    own, modules = _optional(folder / _OWN), read_modules(folder)
    return CrossEncoderFiles(
        _activation(folder, own, model, needed=not overruled.activation),
        None if overruled.answers else _answers(folder, modules, model),
        None if overruled.template else _template(folder, own, modules, model),
    )


def _template(
    folder: Path, own: Mapping[str, Any], modules: Sequence[Mapping[str, Any]], model: str
) -> Template | None:
    prompt = _default_prompt(own, model)
    template = _chat_template(folder, _optional(folder / _TRANSFORMER), prompt) if modules else None
    if prompt and (template is None or not template.takes_instruction):
        raise ExportFailed(f"{model} has a default prompt, and no chat template that takes it: give a --template")
    return template


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _activation(folder: Path, own: Mapping[str, Any], model: str, *, needed: bool) -> Activation | None:
    config = _optional(folder / CONFIG)
    within = config.get("sentence_transformers")
    said = (
        own.get("activation_fn")
        or (within.get("activation_fn") if isinstance(within, dict) else None)
        or config.get("sbert_ce_default_activation_function")
    )
    if said is None:
        return None
    activation = _ACTIVATIONS.get(str(said).rpartition(".")[2])
    if activation is None and needed:
        raise ExportFailed(
            f"{model} has the activation {said}, which is neither Sigmoid nor Identity: give an --activation"
        )
    return activation


def _answers(folder: Path, modules: Sequence[Mapping[str, Any]], model: str) -> tuple[int, ...] | None:
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds in ([], ["Transformer"]):
        return None
    if kinds != ["Transformer", "LogitScore"]:
        raise ExportFailed(
            f"{model} has the modules {', '.join(kinds)}; of sentence-transformers' only Transformer, alone or with "
            "LogitScore, is a cross-encoder that can be exported (with --yes and --no LogitScore is not needed)"
        )
    path = Path(str(modules[1].get("path", ""))) / CONFIG
    score = read_json(folder / path)
    yes, no = score.get("true_token_id"), score.get("false_token_id")
    answers: tuple[Any, ...] = (yes,) if no is None else (yes, no)
    if not all(type(one) is int and one >= 0 for one in answers):
        raise ExportFailed(f"{path} of {model} names no tokens whose logits are the score: give --yes and --no")
    return answers


def _default_prompt(own: Mapping[str, Any], model: str) -> str:
    name = own.get("default_prompt_name")
    if not name:
        return ""
    prompts = own.get("prompts") or {}
    if not isinstance(prompts, dict) or str(name) not in prompts:
        raise ExportFailed(f"{model} has no prompt {name!r}, which {_OWN} makes the default")
    return str(prompts[str(name)])


def _chat_template(folder: Path, transformer: Mapping[str, Any], prompt: str) -> Template | None:
    """The template that messages of the roles query and document are written with."""
    if "message" not in (transformer.get("modality_config") or {}):
        return None
    options = (transformer.get("processing_kwargs") or {}).get("chat_template") or {}
    asked = _rendered(folder, options, {"query": QUERY, "document": DOCUMENT})
    told = _rendered(folder, options, {"system": INSTRUCTION, "query": QUERY, "document": DOCUMENT})
    if not all(text.count(QUERY) == text.count(DOCUMENT) == 1 for text in (asked, told)):
        return None
    template = _read(asked, told, prompt)
    return template if template and _holds(folder, options, template, prompt) else None


def _read(asked: str, told: str, prompt: str) -> Template | None:
    """The template of what was rendered without an instruction, and with one."""
    if INSTRUCTION not in told:
        return _split(asked, "")
    before, after = told.split(INSTRUCTION)
    own = asked[len(before) : len(asked) - len(after)] if asked.startswith(before) and asked.endswith(after) else ""
    if own or prompt:
        return _split(told, prompt or own)
    return None  # without an instruction it is written otherwise, and none is given


def _holds(folder: Path, options: Mapping[str, Any], template: Template, prompt: str) -> bool:
    """Whether the template writes as the chat template does, blanks at the edges of texts included."""
    query, document = " a query\n", "\n a document "
    system = {"system": prompt} if prompt else {}
    rendered = _rendered(folder, options, {**system, "query": query, "document": document})
    return rendered == "".join((*template.head(query), template.lead, document, *template.after))


def _rendered(folder: Path, options: Mapping[str, Any], contents: Mapping[str, str]) -> str:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    messages = [{"role": role, "content": content} for role, content in contents.items()]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except Exception:  # noqa: BLE001 - a template of another purpose raises what it likes
        return ""


def _split(text: str, instruction: str) -> Template | None:
    """What stands on the document's own line before it, behind the query, is tokenized with it."""
    before, after = text.split(DOCUMENT)
    if QUERY not in before:
        return None
    cut = before.rfind("\n") + 1
    if cut <= before.find(QUERY):
        cut = before.find(QUERY) + len(QUERY)
    return Template(
        before=(before[:cut],),
        document=before[cut:] + DOCUMENT,
        after=(after,) if after else (),
        instruction=instruction,
    )

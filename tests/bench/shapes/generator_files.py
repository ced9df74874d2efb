"""Files with which sentence-transformers 5.4 and later loads a text generator as a CrossEncoder.

Format: https://sbert.net/docs/cross_encoder/usage/custom_models.html.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.model_folders import LOGIT_SCORE
from bench.shapes.shape import Shape

_SIGMOID = "torch.nn.modules.activation.Sigmoid"
_MODULES = (
    ("", "sentence_transformers.base.modules.transformer.Transformer"),
    (LOGIT_SCORE, "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"),
)


def chat_template(shape: Shape) -> str:
    """Return the recipe's prompt as a chat template for messages of the roles query and document."""
    from rerank_export.scoring.recipe_choice import recipe_named

    recipe = recipe_named(shape.template or "")
    assert recipe is not None
    assert recipe.published is not None
    before, rest = recipe.published.filled("{query}", "{document}", recipe.template.instruction).split("{query}")
    between, after = rest.split("{document}")
    query, document = (
        f"{{{{ (messages | selectattr('role', 'eq', '{role}') | first).content }}}}" for role in ("query", "document")
    )
    return "".join((_literal(before), query, _literal(between), document, _literal(after)))


def _literal(text: str) -> str:
    """Return an expression of Jinja for a text. Plain text would lose its line breaks at the end."""
    return f"{{{{ {json.dumps(text)} }}}}"


def answer_ids(shape: Shape, tokenizer: Any) -> tuple[int, int]:
    """Return the ids of the recipe's answers: relevant, not relevant."""
    from rerank_export.scoring.recipe_choice import recipe_named

    recipe = recipe_named(shape.template or "")
    assert recipe is not None
    yes, no = (tokenizer.convert_tokens_to_ids(word) for word in (recipe.yes, recipe.no))
    return yes, no


def write_generator_files(folder: Path, answers: tuple[int, int]) -> None:
    """Write the modules and their settings."""
    forward = {"method": "forward", "method_output_name": "logits"}
    files: Mapping[str, Any] = {
        "modules.json": [
            {"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(_MODULES)
        ],
        f"{LOGIT_SCORE}/config.json": {"true_token_id": answers[0], "false_token_id": answers[1]},
        "config_sentence_transformers.json": {"model_type": "CrossEncoder", "activation_fn": _SIGMOID, "prompts": {}},
        "sentence_bert_config.json": {
            "transformer_task": "text-generation",
            "modality_config": {"text": forward, "message": {**forward, "format": "flat"}},
            "module_output_name": "causal_logits",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

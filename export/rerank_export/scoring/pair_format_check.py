"""The check that a model without a template was trained with the tokenizer's own format of a pair.

The gate cannot notice a wrong prompt: it gives the same pairs to the model and to the graph. So a format that shows no
sign of a reranker is refused unless the user asks for it.
"""

from pathlib import Path

from tokenizers import Tokenizer

from rerank_export.errors import ExportFailed
from rerank_export.scoring.pair_template import NONE
from rerank_export.scoring.recipe_choice import recipes_of_kind
from rerank_service.encoding.pair_format import pair_format
from rerank_service.encoding.template import DOCUMENT, QUERY, Template
from rerank_service.models.decoders import is_decoder

PAIR_FORMAT = "the tokenizer's pair format"
"""The origin of a template that is None because the model was trained so."""


def check_pair_format(model: str, kind: str, architecture: str, tokenizer: Tokenizer) -> None:
    """Check that pairs without a template can be those that the model was trained with.

    `model` is its name, `kind` the `model_type` in config.json.

    Raises:
        ExportFailed: nothing separates query and document, or the model is a decoder; the message names the recipes.
    """
    decoder = is_decoder(kind, architecture)
    found = pair_format(tokenizer)
    if found is None or (found.separates and not decoder):
        return
    cause = f"is a decoder ({kind})" if decoder else f"needs a template ({kind})"
    raise ExportFailed(
        f"{model} {cause}, and neither its files nor a recipe give the template that it was trained with: its "
        f"tokenizer puts {found} between query and document. {template_advice(kind)}, or to {NONE} if the model was "
        "trained with the tokenizer's pair format"
    )


def template_advice(kind: str) -> str:
    """Return the advice to set --template, with the recipes for models of the `model_type` `kind`."""
    names = " or ".join(recipe.name for recipe in recipes_of_kind(kind))
    recipe = f", to {names} if it is such a model" if names else ""
    return f"Set --template to a text or file with {QUERY} and {DOCUMENT}{recipe}"


def missing_begin(template: Template, tokenizer: Path) -> str | None:
    """Return the tokens that the tokenizer puts in front of a text and a template does not; None if there are none.

    The texts of a template are tokenized without them, so a template of the user must contain them.
    """
    single = Tokenizer.from_file(str(tokenizer)).encode("a")
    begin = "".join(single.tokens[: single.sequence_ids.index(0)]) if 0 in single.sequence_ids else ""
    return begin if begin and not "".join(template.before).startswith(begin) else None

"""The template that writes a query and a document as one text: from an option, the model's files, or its recipe."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from rerank_export.errors import ExportFailed
from rerank_export.scoring.chat_template import ChatPrompt
from rerank_export.scoring.recipe import PublishedPrompt, Recipe
from rerank_export.scoring.recipe_choice import recipe_named
from rerank_export.scoring.recipes import RECIPES
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_service.encoding.template import DOCUMENT, INSTRUCTION, QUERY, Template
from rerank_service.error_text import excerpt

NONE = "none"
"""The value of --template for the tokenizer's own format of a pair."""
USER = "--template"
"""The origin of a template that the user wrote."""
NO_TEMPLATE = (NONE, "pair")
"""The values of --template for no template. `pair` is an older name of `none`."""


_NO_SLOT = re.compile(r"\{\{?\s*\w+\s*\}?\}")
"""A name in braces, such as `{Document}` or `{{ document }}`."""


class TemplateChoice(NamedTuple):
    """A template and its origin."""

    template: Template | None
    """None: the tokenizer's own format of a pair."""
    origin: str
    """The origin in words; empty if nothing names a template."""
    published: PublishedPrompt | None = None
    """The prompt in one string, if the recipe has one or the template is a converted chat template."""


def choose_template(
    model: str, options: ScoringOptions, files_prompt: ChatPrompt | None, recipe: Recipe | None
) -> TemplateChoice:
    """Choose the template: --template, else the model's own files, else the recipe of its family.

    Raises:
        ExportFailed: --template is invalid, or --instruction has no template.
    """
    choice = _base_template(options, files_prompt, recipe)
    if not options.instruction:
        return choice
    if options.template in NO_TEMPLATE:
        raise ExportFailed(
            f"--instruction needs a template, and --template {options.template} sets none: leave one of them out"
        )
    if choice.template is None:
        raise ExportFailed(f"--instruction needs a template, and none is known for {model}: set --template")
    changed = choice.template.model_dump() | {"instruction": options.instruction}
    return choice._replace(template=_validated(changed))


def _base_template(options: ScoringOptions, files_prompt: ChatPrompt | None, recipe: Recipe | None) -> TemplateChoice:
    if options.template in NO_TEMPLATE:
        return TemplateChoice(None, f"--template {NONE}")
    if options.template and (named := recipe_named(options.template)):
        return TemplateChoice(named.template, f"--template {named.name}", named.published)
    if options.template:
        return TemplateChoice(_parse_option(options.template, options.instruction or ""), USER)
    if files_prompt:
        return TemplateChoice(files_prompt.template, "the folder's chat template", files_prompt.published)
    if recipe:
        return TemplateChoice(recipe.template, f"the recipe {recipe.name}", recipe.published)
    return TemplateChoice(None, "")


def _parse_option(value: str, instruction: str) -> Template:
    """Return the template that --template gives as a file or a text, with the default instruction of --instruction."""
    text = value if DOCUMENT in value else _file_or_text(value)
    if DOCUMENT not in text or QUERY not in text:
        known = ", ".join((NONE, *(recipe.name for recipe in RECIPES)))
        raise ExportFailed(
            f"--template {excerpt(value)!r} is neither a known name ({known}) nor a file or text that contains "
            f"{QUERY} and {DOCUMENT} (optionally {INSTRUCTION})"
        )
    before, _, after = text.partition(DOCUMENT)
    lead = before.rpartition(QUERY)[2].rpartition("\n")[2]
    head = before.removesuffix(lead)
    if INSTRUCTION in head and not instruction:
        raise ExportFailed(
            f"--template contains {INSTRUCTION}: give the default by --instruction, without which the text would be "
            "left out of each pair"
        )
    return _validated(
        {
            "before": (head,),
            "document": lead + DOCUMENT,
            "after": (after,) if after else (),
            "instruction": instruction if INSTRUCTION in head else "",
        }
    )


def _file_or_text(value: str) -> str:
    """Return the content of the file of that name; the value itself if there is no such file."""
    try:
        return Path(value).read_text(encoding="utf-8") if Path(value).is_file() else value
    except UnicodeDecodeError as error:
        raise ExportFailed(f"--template {value} is not UTF-8 text") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # too long for a path, so it is a text
            return value
        raise ExportFailed(f"--template {value} cannot be read: {error.strerror}") from error


def template_doubts(template: Template) -> Iterator[str]:
    """Yield what looks like a mistake in a template of the user, since a wrong prompt still gives scores."""
    text = "".join((*template.before, template.document, *template.after))
    for name in dict.fromkeys(_NO_SLOT.findall(text)):
        if name not in (QUERY, DOCUMENT, INSTRUCTION):
            yield f"the template contains {name}, which is no slot and stays as it is"
    if r"\n" in text:
        yield r"the template contains \n as two characters: write a line end as such, in bash as $'…\n…'"
    if text.endswith("\n"):
        yield "the template ends with a line end: if the model's prompt does not, remove it from the end of the file"


def _validated(template: dict[str, Any]) -> Template:
    try:
        return Template.model_validate(template)
    except ValidationError as error:
        raise ExportFailed(
            f"the template is invalid: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from error

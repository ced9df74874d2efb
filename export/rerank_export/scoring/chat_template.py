"""A chat template that writes messages of the roles query and document, converted to a template of the server.

The chat template is rendered with placeholders for query, document and instruction, and split at them. The result is
used only if it writes a test pair exactly as the chat template does. sentence-transformers tokenizes the rendered text
in one call, and the gate compares its tokens with those of the parts.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from rerank_export.scoring.recipe import PublishedPrompt
from rerank_export.source.model_source import ModelSource
from rerank_export.source.tokenizer_file import load_tokenizer
from rerank_service.encoding.template import DOCUMENT, INSTRUCTION, QUERY, Template


class ChatPrompt(NamedTuple):
    """A converted chat template."""

    template: Template
    published: PublishedPrompt
    """The rendered text, with slots."""


def has_chat_template(transformer: Mapping[str, Any]) -> bool:
    """Return True if the model writes pairs with a chat template. `transformer` is sentence_bert_config.json."""
    return "message" in (transformer.get("modality_config") or {})


def read_chat_template(source: ModelSource, transformer: Mapping[str, Any], prompt: str) -> ChatPrompt | None:
    """Convert the chat template of a model; None if the server cannot write pairs as it does.

    `transformer` is the content of sentence_bert_config.json, `prompt` the default prompt or empty.

    Raises:
        ExportFailed: transformers cannot load the tokenizer.
    """
    options = (transformer.get("processing_kwargs") or {}).get("chat_template") or {}
    render = partial(_rendered, load_tokenizer(source), options)
    plain = render({"query": QUERY, "document": DOCUMENT})
    instructed = render({"system": INSTRUCTION, "query": QUERY, "document": DOCUMENT})
    if not all(text.count(QUERY) == text.count(DOCUMENT) == 1 for text in (plain, instructed)):
        return None
    converted = _converted(plain, instructed, prompt)
    return converted if converted and _is_exact(render, converted.template, prompt) else None


def _converted(plain: str, instructed: str, prompt: str) -> ChatPrompt | None:
    """Return the prompt from the texts that were rendered without and with an instruction."""
    if INSTRUCTION not in instructed:
        return _split(plain, "")
    if instructed.count(INSTRUCTION) > 1:
        return None  # a template has one place for an instruction
    before, after = instructed.split(INSTRUCTION)
    default = plain[len(before) : len(plain) - len(after)] if _is_between(plain, before, after) else ""
    if default or prompt:
        return _split(instructed, prompt or default)
    return None  # the text differs without an instruction, and there is no default instruction


def _is_between(text: str, before: str, after: str) -> bool:
    return text.startswith(before) and text.endswith(after)


def _is_exact(render: Callable[[Mapping[str, str]], str], template: Template, prompt: str) -> bool:
    """Return True if both templates write a test pair equally, including blanks at the edges of the texts.

    `render` is that of the chat template (`_rendered`).
    """
    query, document = " a query\n", "\n a document "
    system = {"system": prompt} if prompt else {}
    rendered = render({**system, "query": query, "document": document})
    return rendered == "".join((*template.head(query), template.lead, document, *template.after))


def _rendered(tokenizer: Any, options: Mapping[str, Any], contents: Mapping[str, str]) -> str:
    """Render messages, given as role -> content; an empty text if the template cannot render them."""
    messages = [{"role": role, "content": content} for role, content in contents.items()]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except Exception:  # noqa: BLE001 - a template for other roles may raise any error
        return ""


def _split(text: str, instruction: str) -> ChatPrompt | None:
    """Split a rendered text at its placeholders. Text on the document's line stays together with the document."""
    before, after = text.split(DOCUMENT)
    if QUERY not in before:
        return None
    cut = before.rfind("\n") + 1
    if cut <= before.find(QUERY):
        cut = before.find(QUERY) + len(QUERY)
    if instruction and INSTRUCTION not in before[:cut]:
        return None  # the server writes the instruction before the document's line only
    template = Template(
        before=(before[:cut],),
        document=before[cut:] + DOCUMENT,
        after=(after,) if after else (),
        instruction=instruction,
    )
    return ChatPrompt(template, PublishedPrompt(text))

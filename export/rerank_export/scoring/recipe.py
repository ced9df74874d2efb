"""The recipe of a family of rerankers: its prompt, its answer tokens, and the sources of both."""

from dataclasses import dataclass

from rerank_service.encoding.template import Template, fill_slots


@dataclass(frozen=True, slots=True)
class PublishedPrompt:
    """The prompt as the model's own code writes it: one string, tokenized in one call.

    The gate scores this string with transformers, so a template that splits it wrongly does not pass.
    """

    text: str
    """A text with the slots {query}, {document} and optionally {instruction}. Other braces stay as they are."""
    special_tokens: bool = False
    """True if that call adds the tokenizer's special tokens, such as `<s>` in front."""

    def filled(self, query: str, document: str, instruction: str) -> str:
        """Return the prompt of a pair."""
        return fill_slots(self.text, {"query": query, "document": document, "instruction": instruction})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The prompt and the answer tokens of a family of models."""

    name: str
    models: str
    """Regular expression for hub ids and folder names; matches anywhere in the name, ignoring case."""
    kinds: tuple[str, ...]
    """Allowed values of `model_type` in config.json."""
    sources: tuple[str, ...]
    """Addresses of the code or the model card that the values are from."""
    template: Template
    published: PublishedPrompt | None = None
    """None: the family's own code joins parts that it tokenizes one by one, as the template does."""
    yes: str | None = None
    """The token whose logit stands for "relevant" in a text generator; None: the family has a classification head."""
    no: str | None = None
    """The token for "not relevant"; None: the logit of `yes` alone is the score."""
    max_tokens: int | None = None
    """The limit in the model's own code or on its card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedFamily:
    """A family of rerankers whose prompt the server cannot write."""

    models: str
    """Regular expression for hub ids and folder names, as in Recipe."""
    reason: str
    """Why not, as the end of a sentence that starts with the model's name."""
    source: str

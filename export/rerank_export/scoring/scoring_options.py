"""Options of the user that decide how a model scores."""

from dataclasses import dataclass

from rerank_service.ranking.scores import Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOptions:
    """Values that override the model's files and its family's recipe. None: not overridden."""

    template: str | None = None
    """Name of a recipe, path of a file, "none", or the template itself with {query}, {document} and optionally
    {instruction}."""
    instruction: str | None = None
    """Default instruction of the template."""
    yes: str | None = None
    """The token of a text generator whose logit stands for "relevant"."""
    no: str | None = None
    """The token for "not relevant"; empty: the logit of `yes` alone is the score."""
    relevant: str | None = None
    """Name or index of the label that means relevant, for a classifier with two labels."""
    activation: Activation | None = None
    max_tokens: int | None = None
    """Upper limit of the model's window, in tokens."""

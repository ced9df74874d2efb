"""What vLLM's bodies may have beside their texts, on its rerank and its score paths."""

from typing import Annotated, Literal

from rerank_service.api.http.body import JsonBody, Priority, only
from rerank_service.ranking.request import CutSide, TooLong
from rerank_service.ranking.scores import ScoreType


class VllmFields(JsonBody):
    """Fields of vLLM's pooling requests."""

    use_activation: bool | None = None
    """Probabilities; false gives logits."""
    activation: bool | None = None
    """The same by its older name."""
    softmax: bool | None = None
    """The same by its oldest."""
    priority: Priority | None = None
    """Lower runs earlier; 0 is the default."""
    instruction: str | None = None
    """What to look for, in place of the model's own instruction; only for models whose template has a slot for it."""
    truncate_prompt_tokens: Annotated[
        Literal[-1] | None,
        only(-1, why="must be -1, for a cut at the model's length: use max_tokens_per_doc to bound documents"),
    ] = None
    """-1 cuts documents at the model's length."""
    truncation_side: Literal["left", "right"] | None = None
    """Which end is cut off."""
    max_tokens_per_query: Annotated[
        None, only(why="is not supported: queries are never cut, and one that is too long is refused")
    ] = None
    """Refused."""

    @property
    def activation_type(self) -> ScoreType:
        """Logits where an activation is declined, by any of its names."""
        declined = False in (self.use_activation, self.activation, self.softmax)
        return ScoreType.RAW if declined else ScoreType.PROBABILITY

    @property
    def too_long(self) -> TooLong:
        """What becomes of documents that are too long."""
        return TooLong.CUT if self.truncate_prompt_tokens is not None else TooLong.WINDOWS

    @property
    def cut_side(self) -> CutSide:
        """Where they are cut, if they are."""
        return CutSide(self.truncation_side or "right")

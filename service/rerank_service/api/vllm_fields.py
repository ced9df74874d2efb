"""What vLLM's bodies may have beside their texts, on its rerank and its score paths."""

from typing import Annotated

from rerank_service.api.json_body import JsonBody, Priority, only
from rerank_service.ranking import ScoreType


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
    max_tokens_per_query: Annotated[
        None, only(why="is not supported: queries are never cut, and one that is too long is refused")
    ] = None
    """Refused."""

    @property
    def wants_logits(self) -> bool:
        """Whether an activation is declined, by any of its names."""
        return False in (self.use_activation, self.activation, self.softmax)

    @property
    def score_type_asked(self) -> ScoreType:
        """By the switches above."""
        return ScoreType.RAW if self.wants_logits else ScoreType.PROBABILITY

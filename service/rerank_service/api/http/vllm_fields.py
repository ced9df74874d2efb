"""Fields that vLLM accepts on its rerank paths and on its score paths.

Source: vLLM, vllm/entrypoints/pooling.
"""

from typing import Annotated, Literal

from rerank_service.api.http.body import JsonBody
from rerank_service.api.http.field_types import Priority, Zero, only
from rerank_service.ranking.request import CutSide, TooLong
from rerank_service.ranking.scores import ScoreType


class VllmFields(JsonBody):
    """Fields of vLLM's rerank and score requests."""

    use_activation: bool | None = None
    """If false, scores are logits. If true, they are probabilities. Default: true."""
    activation: bool | None = None
    """Older name of `use_activation`."""
    softmax: bool | None = None
    """Oldest name of `use_activation`."""
    priority: Priority | None = None
    """Requests with a lower number run earlier. Default: 0."""
    instruction: str | None = None
    """Replaces the model's own instruction. An error if the model's template has no place for an instruction."""
    truncate_prompt_tokens: Annotated[
        Literal[-1] | None,
        only(
            -1,
            rule="must be -1, which cuts documents at the model's token limit: for another limit, "
            "use max_tokens_per_doc on a rerank path",
        ),
    ] = None
    """-1 cuts documents at the model's token limit. By default, long documents are scored in windows."""
    truncation_side: Literal["left", "right", ""] | None = None
    """The end of a document that a cut removes. Default, and "": "right"."""
    max_tokens_per_query: Annotated[
        Zero | None,
        only(
            0,
            0.0,
            rule="is not supported: leave it out. A query is never cut, and a query that is too long is an error",
        ),
    ] = None
    """Not supported: must be 0, null or absent. A query is never cut."""

    @property
    def activation_type(self) -> ScoreType:
        """Return RAW if one of the three activation fields is false, else PROBABILITY."""
        declined = False in (self.use_activation, self.activation, self.softmax)
        return ScoreType.RAW if declined else ScoreType.PROBABILITY

    @property
    def too_long(self) -> TooLong:
        """Return the treatment of documents that exceed the model's token limit."""
        return TooLong.CUT if self.truncate_prompt_tokens is not None else TooLong.WINDOWS

    @property
    def cut_side(self) -> CutSide:
        """Return the end of a document that a cut removes."""
        return CutSide(self.truncation_side or "right")

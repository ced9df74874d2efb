"""Fields that vLLM accepts on its rerank paths and on its score paths.

Source: vLLM, vllm/entrypoints/pooling.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from rerank_service.api.http.body import CONFIG, JsonBody
from rerank_service.api.http.field_types import Limit, PairTokens, Priority
from rerank_service.error_text import excerpt
from rerank_service.errors import InvalidRequest
from rerank_service.ranking.request import CutSide, TooLong
from rerank_service.ranking.scores import ScoreType

_MODEL_LIMIT = -1
"""Value of `truncate_prompt_tokens` that stands for the model's token limit."""


_TEMPLATE = "chat_template_kwargs"
"""vLLM's name of the arguments of a template."""


class TemplateArguments(BaseModel):
    """Arguments of the model's template."""

    model_config = ConfigDict(**CONFIG, json_schema_extra={"additionalProperties": {"type": "null"}})

    instruction: str | None = None
    """Overrides `instruction` of the request, unless it is empty."""


def _supported(arguments: Any) -> Any:
    """Reject an argument that a template of this server does not have: it may change the result."""
    named = arguments.items() if isinstance(arguments, dict) else ()
    for name, value in named:
        if value is not None and name not in TemplateArguments.model_fields:
            field = f"{_TEMPLATE}.{excerpt(name)}"
            raise InvalidRequest(
                f"{field} is not supported: leave it out. Supported: {', '.join(TemplateArguments.model_fields)}",
                field=field,
                reason="unsupported",
            )
    return arguments


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
    chat_template_kwargs: Annotated[TemplateArguments | None, BeforeValidator(_supported)] = None
    """vLLM's other place for the instruction. Any other argument is an error."""
    truncate_prompt_tokens: PairTokens | None = None
    """Maximum tokens of a pair: a longer document is cut, and a query that leaves less than a quarter of them, too. -1
    stands for the model's token limit, and so does any larger number. Default, also if 0: long documents are scored in
    windows."""
    truncation_side: Literal["left", "right", ""] | None = None
    """The end of a query or a document that a cut removes. Default, and "": "right"."""
    max_tokens_per_query: Limit | None = None
    """Maximum tokens of the query; a longer one is cut. Default, also if 0: three quarters of the model's token
    limit."""
    max_tokens_per_doc: Limit | None = None
    """Maximum number of tokens per document. A longer document is cut. Default, and 0: 4,096 on Cohere's v2 paths, else
    the limit of the server, normally 8,192. A document that exceeds the model's token limit is scored in windows,
    unless the request has `truncate_prompt_tokens`."""

    def applied_instruction(self, names: Sequence[str] = ("instruction",)) -> str:
        """Return the text that replaces the model's instruction: that of `chat_template_kwargs`, else that of the first
        field in `names` with a text. "" if there is none."""
        texts = (getattr(self, name) for name in names)
        arguments = self.chat_template_kwargs or TemplateArguments()
        return arguments.instruction or next(filter(None, texts), "")

    @property
    def activation_type(self) -> ScoreType:
        """Return RAW if one of the three activation fields is false, else PROBABILITY."""
        declined = False in (self.use_activation, self.activation, self.softmax)
        return ScoreType.RAW if declined else ScoreType.PROBABILITY

    @property
    def too_long(self) -> TooLong:
        """Return the treatment of documents that exceed the model's token limit."""
        return TooLong.CUT if self.truncate_prompt_tokens else TooLong.WINDOWS

    @property
    def max_pair_tokens(self) -> int | None:
        """Return the maximum tokens of a pair. None: the model's limit."""
        tokens = self.truncate_prompt_tokens or _MODEL_LIMIT
        return None if tokens == _MODEL_LIMIT else tokens

    @property
    def cut_side(self) -> CutSide:
        """Return the end of a query or a document that a cut removes."""
        return CutSide(self.truncation_side or "right")


def instruction_name(body: Mapping[str, Any], names: Sequence[str] = ("instruction",)) -> str:
    """Return the client's name of the instruction in a body, as `VllmFields.applied_instruction` chooses it."""
    arguments = body.get(_TEMPLATE)
    if isinstance(arguments, dict) and arguments.get("instruction"):
        return f"{_TEMPLATE}.instruction"
    return next(filter(body.get, names), "instruction")

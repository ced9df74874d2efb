"""What a folder of the hub says of its model: config.json, and what other files of its add to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer, normalizers

from rerank_service.errors import BundleInvalid
from rerank_service.models.files import CONFIG, MAX_PAD_ID, MAX_TOKENS, MIN_TOKENS, TOKENIZER, checked, read_json
from rerank_service.quantities import counted

TOKENIZER_CONFIG = "tokenizer_config.json"
TRANSFORMER_CONFIG = "sentence_bert_config.json"
"""Of the first step of a model of sentence-transformers."""

MODULES = "modules.json"
"""The steps of one."""
_HEEDS_NOTHING = "PreTrainedTokenizerFast"
"""The class of transformers that takes tokenizer.json as it is."""

DEFAULT_MAX_TOKENS = 512
"""The window of a folder that does not say."""
_NUMBERED_FROM_PAD_ID = (
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
)
"""RoBERTa and its kin: position ids begin at pad_token_id + 1, so that as many are never used."""
_THEIR_PAD_ID = 1
"""What transformers takes for granted of them."""


_Form = TypeVar("_Form", bound=BaseModel)


class Config(BaseModel):
    """What is read of a model's config.json."""

    model_config = ConfigDict(frozen=True)

    name_or_path: str | None = Field(default=None, alias="_name_or_path")
    kind: str | None = Field(default=None, alias="model_type")
    architectures: list[str] | None = None
    max_position_embeddings: int | None = Field(default=None, ge=0)
    pad_token_id: int | None = Field(default=None, ge=0, le=MAX_PAD_ID)
    num_labels: int | None = None
    id2label: dict[int, Any] | None = None

    @property
    def architecture(self) -> str:
        """The first; empty where none is stated."""
        return next(iter(self.architectures or [""]))

    @property
    def labels(self) -> Mapping[int, str]:
        """Names of the logits that a pair has, by their places; one where nothing is said."""
        if self.id2label and self.num_labels in (None, len(self.id2label)):
            return {place: str(name) for place, name in self.id2label.items()}
        return {place: f"LABEL_{place}" for place in range(1 if self.num_labels is None else self.num_labels)}


class _TokenizerConfig(BaseModel):
    """What is read of a model's tokenizer_config.json."""

    model_max_length: float | None = Field(default=None, ge=0)
    """Not a whole number, since those without a bound have 1e30."""
    pad_token: Any = None
    """Its text, or an object with that as `content`."""
    do_lower_case: Any = None
    tokenizer_class: Any = None


class _Transformer(BaseModel):
    """What is read of sentence_bert_config.json."""

    max_seq_length: int | None = Field(default=None, ge=0)
    do_lower_case: Any = None
    """Before the tokenizer; read by a model whose steps modules.json names."""


def read_config(folder: Path) -> Config:
    """config.json.

    Raises:
        BundleInvalid: it is missing, or says nonsense.
    """
    return checked(Config, read_json(folder / CONFIG), folder / CONFIG)


def pad_id(folder: Path, config: Config) -> int:
    """The id that rows are padded with. Where config.json does not say: the tokenizer's. RoBERTa's kin count positions
    by it, so that 0 would not do for all."""
    if config.pad_token_id is not None:
        return config.pad_token_id
    found = _pad_id_of_the_tokenizer(folder)
    if found is not None:
        return found
    return _THEIR_PAD_ID if config.kind in _NUMBERED_FROM_PAD_ID else 0


def _pad_id_of_the_tokenizer(folder: Path) -> int | None:
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception:  # noqa: BLE001 - whoever loads it to tokenize says what is wrong with it
        return None
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    token = _optional(_TokenizerConfig, folder / TOKENIZER_CONFIG).pad_token
    text = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(text) if isinstance(text, str) else None


def check_lower_case(folder: Path, tokenizer: Path | None = None) -> None:
    """See that texts are lower-cased by the tokenizer where the folder's other files say so, and not where they say
    that they are not; `tokenizer` is that of the folder, unless it is one in which tokenizer_config.json is heeded.

    Raises:
        BundleInvalid: the tokenizer alone would read other words than the model.
    """
    steps = (folder / MODULES).is_file() and _optional(_Transformer, folder / TRANSFORMER_CONFIG).do_lower_case is True
    said = _optional(_TokenizerConfig, folder / TOKENIZER_CONFIG)
    heeded = tokenizer is None and isinstance(said.do_lower_case, bool) and said.tokenizer_class != _HEEDS_NOTHING
    if not steps and not heeded:
        return
    try:
        normalizer = Tokenizer.from_file(str(tokenizer or folder / TOKENIZER)).normalizer
    except Exception:  # noqa: BLE001 - whoever loads it to tokenize says what is wrong with it
        return
    lowers = normalizer is not None and "A" not in normalizer.normalize_str("A")
    if heeded and isinstance(normalizer, normalizers.BertNormalizer) and lowers != said.do_lower_case:
        raise BundleInvalid(
            f"{folder / TOKENIZER_CONFIG} says that do_lower_case is {str(said.do_lower_case).lower()}, and "
            f"{TOKENIZER} does otherwise: export the model, or write {TOKENIZER} with transformers' "
            "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    if steps and not lowers:
        raise BundleInvalid(
            f"{folder / TRANSFORMER_CONFIG} says that texts are lower-cased (do_lower_case), which {TOKENIZER} does "
            "not do: put a normalizer Lowercase into it, or take do_lower_case out if the model was not trained so"
        )


def window(folder: Path, config: Mapping[str, Any] | None = None) -> int:
    """Tokens that a pair may have, by the folder's files; `config` is its config.json with what transformers takes for
    granted filled in, where that is known.

    Raises:
        BundleInvalid: one of them says nonsense.
    """
    known = read_config(folder) if config is None else checked(Config, dict(config), folder / CONFIG)
    positions = known.max_position_embeddings
    if positions and known.kind in _NUMBERED_FROM_PAD_ID:
        positions -= pad_id(folder, known) + 1
    said = (
        _optional(_TokenizerConfig, folder / TOKENIZER_CONFIG).model_max_length,
        _optional(_Transformer, folder / TRANSFORMER_CONFIG).max_seq_length,
    )
    bounds = [one for one in said if one and one <= MAX_TOKENS]
    if positions is not None or not bounds:
        bounds.append(DEFAULT_MAX_TOKENS if positions is None else positions)
    tokens = int(min(*bounds, MAX_TOKENS))
    if tokens < MIN_TOKENS:
        raise BundleInvalid(
            f"{folder / CONFIG}, with {TOKENIZER_CONFIG} and {TRANSFORMER_CONFIG}, leaves a window of "
            f"{counted(tokens, 'token')}; a pair needs {MIN_TOKENS}"
        )
    return tokens


def _optional(form: type[_Form], path: Path) -> _Form:
    return checked(form, read_json(path) if path.exists() else {}, path)

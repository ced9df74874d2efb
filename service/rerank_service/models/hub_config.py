"""Read config.json of a hub folder, and the other files that add to it: token limit, padding, lower-casing."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer, normalizers

from rerank_service.encoding.tokenizer_file import load_tokenizer
from rerank_service.errors import BundleInvalid
from rerank_service.models.files import CONFIG, TOKENIZER, read_json, validate
from rerank_service.models.token_limits import MAX_PAD_ID, MAX_TOKENS, MIN_TOKENS
from rerank_service.quantities import counted

TOKENIZER_CONFIG = "tokenizer_config.json"
TRANSFORMER_CONFIG = "sentence_bert_config.json"
"""File of sentence-transformers: the configuration of the first step of a model."""
CROSS_ENCODER_CONFIG = "config_sentence_transformers.json"
"""File of sentence-transformers: the settings of the whole model."""

MODULES = "modules.json"
"""File of sentence-transformers: the steps of a model."""
_IGNORES_TOKENIZER_CONFIG = "PreTrainedTokenizerFast"
"""Tokenizer class of transformers that uses tokenizer.json unchanged."""

DEFAULT_MAX_TOKENS = 512
"""Token limit of a folder that does not state one."""
_POSITIONS_AFTER_PAD_ID = (
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
"""`model_type` of RoBERTa and similar models. Their position ids start at pad_token_id + 1, so the positions up to
pad_token_id are never used."""
_ROBERTA_PAD_ID = 1
"""Default pad_token_id of these models in transformers."""

_RELATIVE_POSITIONS = ("longt5", "mt5", "switch_transformers", "t5", "umt5")
"""`model_type` of T5 and similar models. Their positions are relative: `n_positions` is the length of the training, and
no limit."""

_MAX_LABELS = 2**16
"""Maximum of `num_labels`. Each label gets a name, and a cross-encoder has one or two."""

_Model = TypeVar("_Model", bound=BaseModel)


class HubConfig(BaseModel):
    """The fields of config.json that are used."""

    model_config = ConfigDict(frozen=True)

    model_type: str | None = None
    architectures: list[str] | None = None
    max_position_embeddings: int | None = Field(default=None, ge=0)
    n_positions: int | None = Field(default=None, ge=0)
    """The same, under the name that GPT-2 and models derived from it have."""
    pad_token_id: int | None = Field(default=None, ge=0, le=MAX_PAD_ID)
    type_vocab_size: int | None = None
    """Number of token types. None: not stated."""
    num_labels: int | None = Field(default=None, ge=0, le=_MAX_LABELS)
    id2label: dict[int, Any] | None = None

    @property
    def architecture(self) -> str:
        """The first entry of `architectures`; empty without one."""
        return next(iter(self.architectures or [""]))

    @property
    def labels(self) -> Mapping[int, str]:
        """Names of the labels by their positions in the output; one label if the file does not state them."""
        if self.id2label and self.num_labels in (None, len(self.id2label)):
            return {position: str(name) for position, name in self.id2label.items()}
        return {position: f"LABEL_{position}" for position in range(1 if self.num_labels is None else self.num_labels)}


class _TokenizerConfig(BaseModel):
    """The fields of tokenizer_config.json that are used."""

    model_max_length: float | None = Field(default=None, ge=0)
    """Maximum tokens of a pair. Not an int, because models without a limit have 1e30."""
    pad_token: Any = None
    """Text of the padding token, or an object with the text in `content`."""
    do_lower_case: Any = None
    tokenizer_class: Any = None
    model_input_names: list[str] | None = None
    """Inputs that transformers gives to the model. None: those of the tokenizer's class."""


class _TransformerConfig(BaseModel):
    """The fields of sentence_bert_config.json that are used."""

    max_seq_length: int | None = Field(default=None, ge=0)
    do_lower_case: Any = None
    """True: sentence-transformers lower-cases texts before the tokenizer. Ignored without modules.json."""
    modality_config: dict[str, Any] | None = None
    """Kinds of input of the model. With `message`, a chat template writes each pair."""


class _CrossEncoderConfig(BaseModel):
    """The fields of config_sentence_transformers.json that are used."""

    default_prompt_name: str | None = None
    """Name of the text that the model expects in each pair; None: no such text."""


class HubFiles:
    """The files of a hub folder that describe its model. Each is read when it is first needed, and only once.

    Each property raises BundleInvalid if its file is missing, unless it is optional, or if a field is wrong.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        """`config` replaces config.json, for a caller that has it with the defaults of transformers filled in."""
        self.folder = folder
        self._config = config

    @cached_property
    def config(self) -> HubConfig:
        """The contents of config.json."""
        path = self.folder / CONFIG
        return validate(HubConfig, read_json(path) if self._config is None else dict(self._config), path)

    @cached_property
    def tokenizer_config(self) -> _TokenizerConfig:
        """The contents of tokenizer_config.json, which is optional."""
        return _read_optional(_TokenizerConfig, self.folder / TOKENIZER_CONFIG)

    @cached_property
    def transformer_config(self) -> _TransformerConfig:
        """The contents of sentence_bert_config.json, which is optional."""
        return _read_optional(_TransformerConfig, self.folder / TRANSFORMER_CONFIG)

    @cached_property
    def cross_encoder_config(self) -> _CrossEncoderConfig:
        """The contents of config_sentence_transformers.json, which is optional."""
        return _read_optional(_CrossEncoderConfig, self.folder / CROSS_ENCODER_CONFIG)

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer in tokenizer.json; None if it does not load."""
        return _load_tokenizer(self.folder / TOKENIZER)


def _load_tokenizer(path: Path) -> Tokenizer | None:
    try:
        return load_tokenizer(path)
    except BundleInvalid:  # PairTokenizer reports the error when it loads the file
        return None


def pad_id(files: HubFiles) -> int:
    """Return the token id of padding: that of config.json, else the tokenizer's, else the default of transformers.

    RoBERTa and similar models compute positions from it, so 0 would be wrong for them.
    """
    if files.config.pad_token_id is not None:
        return files.config.pad_token_id
    tokenizer_pad_id = _tokenizer_pad_id(files)
    if tokenizer_pad_id is not None:
        return tokenizer_pad_id
    return _ROBERTA_PAD_ID if files.config.model_type in _POSITIONS_AFTER_PAD_ID else 0


def _tokenizer_pad_id(files: HubFiles) -> int | None:
    tokenizer = files.tokenizer
    if tokenizer is None:
        return None
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    token = files.tokenizer_config.pad_token
    text = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(text) if isinstance(text, str) else None


def check_lower_case(files: HubFiles, tokenizer: Path | None = None) -> None:
    """Check that tokenizer.json lower-cases texts exactly if the other files of the folder say so.

    `tokenizer` replaces the folder's tokenizer.json by one that already follows tokenizer_config.json.

    Raises:
        BundleInvalid: tokenizer.json alone would produce other tokens than the model was trained on.
    """
    folder, config = files.folder, files.tokenizer_config
    modules_lower = (folder / MODULES).is_file() and files.transformer_config.do_lower_case is True
    config_applies = (
        tokenizer is None
        and isinstance(config.do_lower_case, bool)
        and config.tokenizer_class != _IGNORES_TOKENIZER_CONFIG
    )
    if not modules_lower and not config_applies:
        return
    loaded = files.tokenizer if tokenizer is None else _load_tokenizer(tokenizer)
    if loaded is None:
        return
    normalizer = loaded.normalizer
    lowers = normalizer is not None and "A" not in normalizer.normalize_str("A")
    if config_applies and isinstance(normalizer, normalizers.BertNormalizer) and lowers != config.do_lower_case:
        raise BundleInvalid(
            f"{folder / TOKENIZER_CONFIG} has do_lower_case {str(config.do_lower_case).lower()}, but {TOKENIZER} does "
            f"the opposite: export the model, or write {TOKENIZER} with transformers' "
            "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    if modules_lower and not lowers:
        raise BundleInvalid(
            f"{folder / TRANSFORMER_CONFIG} has do_lower_case true, but {TOKENIZER} does not lower-case texts: "
            f"add a Lowercase normalizer to {TOKENIZER}, or remove do_lower_case if the model was trained without it"
        )


def stated_positions(config: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the field of config.json that states the number of positions, and its value. None: no field does."""
    absolute = config.get("model_type") not in _RELATIVE_POSITIONS
    other_name = absolute and config.get("max_position_embeddings") is None and config.get("n_positions") is not None
    field = "n_positions" if other_name else "max_position_embeddings"
    return field, config.get(field)


def token_positions(positions: int, model_type: Any, pad_id: int) -> int:
    """Return the number of positions that tokens may have, of all positions of a model."""
    return positions - (pad_id + 1) if model_type in _POSITIONS_AFTER_PAD_ID else positions


def token_limit(files: HubFiles) -> int:
    """Return the token limit of the model: the smallest of the limits in the folder's files.

    Raises:
        BundleInvalid: a field is wrong, or the limit is below 8 tokens.
    """
    field, positions = stated_positions(dict(files.config))
    if positions:
        positions = token_positions(positions, files.config.model_type, pad_id(files))
    stated = (files.tokenizer_config.model_max_length, files.transformer_config.max_seq_length)
    limits = [limit for limit in stated if limit and limit <= MAX_TOKENS]
    if positions is not None or not limits:
        limits.append(DEFAULT_MAX_TOKENS if positions is None else positions)
    tokens = int(min(*limits, MAX_TOKENS))
    if tokens < MIN_TOKENS:
        raise BundleInvalid(
            f"{files.folder / CONFIG}, {TOKENIZER_CONFIG} and {TRANSFORMER_CONFIG} give a token limit of {tokens}; "
            f"the minimum is {counted(MIN_TOKENS, 'token')}: correct {field}, model_max_length or "
            "max_seq_length"
        )
    return tokens


def _read_optional(model: type[_Model], path: Path) -> _Model:
    return validate(model, read_json(path) if path.exists() else {}, path)

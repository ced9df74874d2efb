"""The tokenizer.json of a model, converted by transformers if only an older format is published."""

from importlib.util import find_spec
from typing import Any

from tokenizers import Tokenizer

from rerank_export.errors import ExportFailed, one_line
from rerank_export.source.model_config import check_trust
from rerank_export.source.model_source import ModelSource
from rerank_service.models.files import CONFIG, TOKENIZER, read_json
from rerank_service.models.hub_config import TOKENIZER_CONFIG

_OLDER_FORMATS = (
    *("sentencepiece.bpe.model", "sentencepiece.model", "spiece.model", "spm.model", "tokenizer.model"),
    *("vocab.txt", "vocab.json", "merges.txt", "tekken.json", "bpe.codes"),
)
"""Names of the files that transformers converts to tokenizer.json."""
_CONVERTERS = ("sentencepiece", "tiktoken")
"""Packages of the extra `export`. Without them, transformers fails with a message that does not name them."""
_READS_NO_OLDER_FORMAT = "PreTrainedTokenizerFast"
_IN_PYTHON = ("CpmTokenizer", "RoFormerTokenizer")
"""Tokenizers that transformers converts only in part: the rest is Python code, which tokenizer.json cannot hold."""


def read_tokenizer(source: ModelSource) -> bytes:
    """Return the content of the tokenizer.json that transformers uses. It is the published file if that one is equal.

    It differs if only an older format is published, which transformers converts, or if tokenizer_config.json overrides
    settings such as lower-casing.

    Raises:
        ExportFailed: transformers cannot load the tokenizer, or it has no tokenizer.json format.
    """
    published = source.folder / TOKENIZER
    tokenizer = load_tokenizer(source)
    if not tokenizer.is_fast:
        raise _not_convertible(source, type(tokenizer).__name__)
    used = _serialized(tokenizer.backend_tokenizer)
    if published.is_file() and _serialized(Tokenizer.from_file(str(published))) == used:
        return published.read_bytes()
    return used.encode()


def load_tokenizer(source: ModelSource) -> Any:
    """Return the tokenizer as transformers loads it. Its own code runs only if the source is trusted.

    Raises:
        ExportFailed: transformers cannot load it, or it has no tokenizer.json format.
    """
    from transformers import AutoTokenizer

    if not (source.folder / TOKENIZER).is_file():
        _check_convertible(source)
    try:
        return AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    except Exception as error:
        check_trust(source)
        raise ExportFailed(_reason(source, error)) from error


def _check_convertible(source: ModelSource) -> None:
    """Refuse a tokenizer that has no tokenizer.json format, before transformers asks for the packages that it needs."""
    import transformers
    from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS

    name = _class_name(source).removesuffix("Fast")
    known = hasattr(transformers, name) and not hasattr(transformers, f"{name}Fast")
    if name in _IN_PYTHON or (known and name not in SLOW_TO_FAST_CONVERTERS):
        raise _not_convertible(source, name)


def _class_name(source: ModelSource) -> str:
    """Return the class in tokenizer_config.json, else that of the model's type; empty if nothing names one."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    path = source.folder / TOKENIZER_CONFIG
    stated = read_json(path).get("tokenizer_class") if path.is_file() else None
    kind = read_json(source.folder / CONFIG).get("model_type")
    slow, fast = TOKENIZER_MAPPING_NAMES.get(str(kind), (None, None))
    return str(stated or slow or fast or "")


def _not_convertible(source: ModelSource, name: str) -> ExportFailed:
    return ExportFailed(f"{source.id} has no {TOKENIZER}, and transformers cannot convert a {name} to it")


def _reason(source: ModelSource, error: Exception) -> str:
    """Return the message for a tokenizer that transformers cannot load."""
    if (source.folder / TOKENIZER).is_file():
        return f"transformers cannot load the tokenizer of {source.id}: {one_line(error)}"
    found = " and ".join(name for name in _OLDER_FORMATS if (source.folder / name).is_file())
    if not found:
        return (
            f"{source.id} has no tokenizer: neither {TOKENIZER} nor a file of an older format such as "
            "sentencepiece.bpe.model, spm.model or vocab.txt; fetch a complete model"
        )
    if absent := " and ".join(name for name in _CONVERTERS if find_spec(name) is None):
        return f"{source.id} has no {TOKENIZER}, and {absent}, which may convert {found} to it, is not installed here"
    if isinstance(error, ImportError):
        return (
            f"{source.id} has no {TOKENIZER}, and a package that converts {found} to it is missing here: "
            f"{one_line(error)}"
        )
    name = _class_name(source)
    if name == _READS_NO_OLDER_FORMAT:
        return (
            f"{source.id} has no {TOKENIZER}, and {name}, the class in {TOKENIZER_CONFIG}, does not read {found}: "
            f"fetch a complete model, or correct tokenizer_class in {TOKENIZER_CONFIG}"
        )
    # transformers tries tiktoken last, so an AttributeError describes that attempt and not the fault
    cause = "the files are damaged or of another class" if isinstance(error, AttributeError) else one_line(error)
    return f"{source.id} has no {TOKENIZER}, and transformers cannot read {found} as a {name or 'tokenizer'}: {cause}"


def _serialized(tokenizer: Tokenizer) -> str:
    """Return the tokenizer as JSON without padding and truncation, which each user of it sets."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.to_str()

"""The tokenizer.json of a bundle."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer

from rerank_export.errors import ExportFailed, one_line
from rerank_export.source.model_config import check_trust
from rerank_export.source.model_source import ModelSource
from rerank_service.models.files import TOKENIZER


def write_tokenizer(source: ModelSource, path: Path) -> None:
    """Write the tokenizer that transformers uses. The published file is copied byte for byte if it is equal.

    It differs if only an older format is published, which transformers converts, or if tokenizer_config.json overrides
    settings such as lower-casing.

    Raises:
        ExportFailed: transformers cannot load the tokenizer, or it has no tokenizer.json format.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    except Exception as error:
        check_trust(source)
        raise ExportFailed(f"transformers cannot load the tokenizer of {source.id}: {one_line(error)}") from error
    if not tokenizer.is_fast:
        raise ExportFailed(f"{source.id} has no {TOKENIZER}, and {type(tokenizer).__name__} cannot be converted to it")
    published = source.folder / TOKENIZER
    used = _serialized(tokenizer.backend_tokenizer)
    if published.is_file() and _serialized(Tokenizer.from_file(str(published))) == used:
        shutil.copyfile(published, path)
    else:
        path.write_text(used)


def _serialized(tokenizer: Tokenizer) -> str:
    """Return the tokenizer as JSON without padding and truncation, which each user of it sets."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.to_str()

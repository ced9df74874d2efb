"""The tokenizer.json of a bundle."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer

from rerank_export.errors import ExportFailed, one_line
from rerank_export.source import Source, check_trust
from rerank_service.models.files import TOKENIZER


def write_tokenizer(source: Source, path: Path) -> None:
    """Write what transformers tokenizes with: the published file, byte for byte, where it is just that.

    It is another where none is published (transformers then converts the older form), and where
    tokenizer_config.json overrules it, in lower-casing say.

    Raises:
        ExportFailed: transformers has no such tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    except Exception as error:
        check_trust(source)
        raise ExportFailed(f"transformers cannot load the tokenizer of {source.id}: {one_line(error)}") from error
    if not tokenizer.is_fast:
        raise ExportFailed(f"{source.id} has no {TOKENIZER}, and its {type(tokenizer).__name__} cannot be made one")
    published = source.folder / TOKENIZER
    bare = _bare(tokenizer.backend_tokenizer)
    if published.is_file() and _bare(Tokenizer.from_file(str(published))) == bare:
        shutil.copyfile(published, path)
    else:
        path.write_text(bare)


def _bare(tokenizer: Tokenizer) -> str:
    """All but padding and truncation, which are set anew for each use."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.to_str()

"""config.json of a model, as transformers reads it."""

from typing import Any

from rerank_export.errors import ExportFailed, one_line
from rerank_export.source.model_source import ModelSource
from rerank_export.source.weight_files import ADAPTER, missing_weights
from rerank_service.models.files import CONFIG, read_json


def read_config(source: ModelSource) -> dict[str, Any]:
    """Return config.json with the defaults of transformers filled in.

    Raises:
        ExportFailed: the file is missing, or transformers cannot read it.
    """
    if not (source.folder / CONFIG).is_file():
        if (source.folder / ADAPTER).is_file():
            raise ExportFailed(missing_weights(source.id, [ADAPTER]))
        raise ExportFailed(f"{source.id} has no {CONFIG}: it is not a model in the Hugging Face format")
    from transformers import AutoConfig

    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(source.folder, trust_remote_code=source.trusted).to_dict()
    except Exception as error:
        check_trust(source)
        raise ExportFailed(f"transformers cannot read {CONFIG} of {source.id}: {one_line(error)}") from error
    return config


def has_own_code(source: ModelSource) -> bool:
    """Return True if the model brings Python code that replaces classes of transformers (auto_map in config.json)."""
    return bool(read_json(source.folder / CONFIG).get("auto_map"))


def check_trust(source: ModelSource) -> None:
    """Blame a failure on the model's own code if the model has some and it was not run.

    Raises:
        ExportFailed: the model needs --trust-remote-code.
    """
    if has_own_code(source) and not source.trusted:
        raise ExportFailed(
            f"{source.id} contains its own code (auto_map in {CONFIG}), which is not run by default: read that code, "
            "and pass --trust-remote-code if you trust it"
        )

"""Where a model comes from: a folder, or the Hugging Face hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed, one_line
from rerank_export.hub import download
from rerank_export.weight_files import ADAPTER, missing_weights
from rerank_service.models.files import CONFIG, read_json


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files."""

    folder: Path
    id: str
    """Hub id, or the folder's name: a path of this machine says nothing to others."""
    revision: str = ""
    """Commit of the hub's repository."""
    trusted: bool = False
    """Whether code among the files may be run."""


def fetch(model: str, revision: str | None = None, *, trusted: bool = False) -> Source:
    """A folder as it lies, else a download from the hub.

    Raises:
        ExportFailed: neither is to be had.
    """
    folder = Path(model)
    if folder.is_dir():
        if revision:
            raise ExportFailed(f"{model} is a folder, and --revision is of the hub: leave it out")
        return Source(folder, folder.resolve().name, trusted=trusted)
    if folder.exists():
        raise ExportFailed(f"{model} is a file: give the folder of the model")
    if folder.is_absolute() or model.startswith((".", "~")):
        raise ExportFailed(f"{model} is not a folder")
    folder = download(model, revision, code=trusted)
    return Source(folder, model, folder.name, trusted)


def read_config(source: Source) -> dict[str, Any]:
    """config.json, with what transformers takes for granted filled in.

    Raises:
        ExportFailed: there is none, or it is not understood.
    """
    if not (source.folder / CONFIG).is_file():
        if (source.folder / ADAPTER).is_file():
            raise ExportFailed(missing_weights(source.id, [ADAPTER]))
        raise ExportFailed(f"{source.id} has no {CONFIG}: it is not a model in the form of the Hugging Face hub")
    from transformers import AutoConfig

    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(source.folder, trust_remote_code=source.trusted).to_dict()
    except Exception as error:
        check_trust(source)
        raise ExportFailed(f"transformers cannot read {CONFIG} of {source.id}: {one_line(error)}") from error
    return config


def has_own_code(source: Source) -> bool:
    """Whether a model brings code that takes the place of transformers' own."""
    return bool(read_json(source.folder / CONFIG).get("auto_map"))


def check_trust(source: Source) -> None:
    """Raise ExportFailed where the reason for a failure may be that the model's own code was not run."""
    if has_own_code(source) and not source.trusted:
        raise ExportFailed(
            f"{source.id} brings code of its own (auto_map in its {CONFIG}), which is not run unasked: read it, and "
            "if you trust it, say --trust-remote-code"
        )


def check_loaded(source: Source, loading: Mapping[str, Any]) -> None:
    """Raise ExportFailed where what transformers tells of a loading is that the files are not of the model it made."""
    missing = loading["missing_keys"]
    if missing or loading["unexpected_keys"]:
        check_trust(source)
    if missing:  # transformers makes them up
        raise ExportFailed(f"{source.id} lacks weights: {', '.join(sorted(missing))}")


def check_finite(source: Source, model: Any) -> None:
    """Raise ExportFailed where weights are broken: a text that reads them would have no score."""
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        some = ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
        raise ExportFailed(f"{source.id} has weights that are not finite ({some}): fetch it anew, or another revision")

"""Where a model comes from: a folder, or the Hugging Face hub."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed, one_line
from rerank_export.modules import read_modules
from rerank_service.model_files import CONFIG

_FILES = ["*.json", "*.jinja", "*.safetensors", "*.txt", "*.model"]
_PICKLED = ["*.bin"]
"""Weights of older models; often there beside the same ones in safetensors."""
_SUBFOLDERS = ["*/*"]
"""Other people's exports, mostly."""
_STEP = re.compile(r"[0-9]+_[A-Za-z]+")
"""As sentence-transformers names the folder of a step."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files."""

    folder: Path
    id: str
    """Hub id, or the folder's name: a path of this machine says nothing to others."""
    revision: str = ""
    """Commit of the hub's repository."""


def fetch(model: str, revision: str | None = None) -> Source:
    """A folder as it lies, else a download from the hub (its own variables for token, proxy, cache and offline
    mode hold: HF_TOKEN, HTTPS_PROXY, HF_HOME, HF_HUB_OFFLINE).

    Raises:
        ExportFailed: neither is to be had.
    """
    folder = Path(model)
    if folder.is_dir():
        return Source(folder, folder.resolve().name)
    if folder.is_absolute() or model.startswith("."):
        raise ExportFailed(f"{model} is not a folder")
    return _download(model, revision)


def _download(model: str, revision: str | None) -> Source:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = _snapshot(model, revision)
    except HFValidationError as error:
        raise ExportFailed(f"{model!r} is neither a folder here nor the name of a model on the hub") from error
    except GatedRepoError as error:
        raise ExportFailed(f"{model} is gated: accept its terms on the hub, then set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise ExportFailed(f"{model} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise ExportFailed(
            f"{model} is neither a folder here nor on the hub, unless it is private: check the name, or set HF_TOKEN"
        ) from error
    except LocalEntryNotFoundError as error:
        raise ExportFailed(
            f"{model} is no folder here, and the hub does not answer: give a folder, or look to the network "
            "(HTTPS_PROXY, HF_ENDPOINT, HF_HUB_OFFLINE)"
        ) from error
    except OSError as error:
        raise ExportFailed(f"cannot fetch {model} from the hub: {one_line(error)}") from error
    return Source(folder, model, folder.name)


def _snapshot(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    folder = Path(snapshot_download(model, revision=revision, allow_patterns=_FILES, ignore_patterns=_SUBFOLDERS))
    if steps := [f"{path}/{CONFIG}" for path in _subfolders(folder)]:
        snapshot_download(model, revision=folder.name, allow_patterns=steps)
    if not any(folder.glob("*.safetensors")):
        snapshot_download(model, revision=folder.name, allow_patterns=_PICKLED, ignore_patterns=_SUBFOLDERS)
    return folder


def _subfolders(folder: Path) -> list[str]:
    """Of the steps of a sentence-transformers model that have settings of their own."""
    return [path for module in read_modules(folder) if _STEP.fullmatch(path := str(module.get("path", "")))]


def read_config(source: Source) -> dict[str, Any]:
    """config.json, with what transformers takes for granted filled in.

    Raises:
        ExportFailed: there is none, or it is not understood.
    """
    if not (source.folder / CONFIG).is_file():
        raise ExportFailed(f"{source.id} has no {CONFIG}: it is not a model in the form of the Hugging Face hub")
    from transformers import AutoConfig

    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(source.folder, trust_remote_code=False).to_dict()
    except Exception as error:
        raise ExportFailed(f"transformers cannot read {CONFIG} of {source.id}: {one_line(error)}") from error
    return config

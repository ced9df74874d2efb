"""Where a model comes from: a folder, or the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path

from rerank_export.errors import ExportFailed

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.bin"]


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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=_FILES))
    except HFValidationError as error:
        raise ExportFailed(f"{model!r} is neither a folder here nor the name of a model on the hub") from error
    except GatedRepoError as error:
        raise ExportFailed(f"{model} is gated: accept its terms on the hub, then set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise ExportFailed(f"{model} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise ExportFailed(f"{model} is not on the hub, or is private: check the name, or set HF_TOKEN") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ExportFailed(f"cannot fetch {model} from the hub: {error}. Without a network give a folder") from error
    return Source(folder, model, folder.name)

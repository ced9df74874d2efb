"""The origin of a model: a local folder, or a download from the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path

from rerank_export.errors import ExportFailed
from rerank_export.source.hub_download import download, download_weights
from rerank_export.source.weight_files import check_weights


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A local folder with the model's files."""

    folder: Path
    id: str
    """Hub id, or the folder's name. Never a path: it means nothing on another machine."""
    revision: str = ""
    """Commit of the hub's repository; empty for a local folder."""
    trusted: bool = False
    """True if code among the files may be run (--trust-remote-code)."""


def fetch(model: str, revision: str | None = None, *, trusted: bool = False) -> ModelSource:
    """Return a local folder unchanged, or download a model from the hub, except its weights.

    Raises:
        ExportFailed: `model` is a file or a missing path, or the hub does not deliver it.
    """
    folder = Path(model)
    if folder.is_dir():
        if revision:
            raise ExportFailed(f"--revision {revision} needs a model from the hub, and {model} is a folder: omit it")
        return ModelSource(folder, folder.resolve().name, trusted=trusted)
    if folder.exists():
        raise ExportFailed(f"{model} is a file: give the folder of the model")
    if folder.is_absolute() or model.startswith((".", "~")):
        raise ExportFailed(f"the folder {model} does not exist")
    folder = download(model, revision, code=trusted)
    return ModelSource(folder, model, folder.name, trusted)


def fetch_weights(source: ModelSource) -> None:
    """Download the weights if the model comes from the hub, and check that there are some.

    Raises:
        ExportFailed: there are no weights, or the hub does not deliver them.
    """
    if source.revision:
        download_weights(source.id, source.folder)
    else:
        check_weights(source.folder, source.id)

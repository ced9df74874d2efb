"""Download of a model from the Hugging Face hub.

The variables of huggingface_hub apply: HF_TOKEN, HF_HUB_OFFLINE, HF_HOME, HF_ENDPOINT, HTTPS_PROXY.
"""

import re
import sys
from pathlib import Path

from rerank_export.errors import ExportFailed
from rerank_export.source.hub_errors import hub_errors_explained
from rerank_export.source.sentence_transformers_modules import read_modules
from rerank_export.source.weight_files import PICKLED, SAFE, missing_weights
from rerank_service.models.files import CONFIG

_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
_CODE = ["*.py"]
_SUBFOLDERS = ["*/*"]
"""Mostly exports to other formats."""
_MODULE_FOLDER = re.compile(r"[0-9]+_[A-Za-z]+")
"""The form in which sentence-transformers names the folder of a module, such as 1_LogitScore."""


def download(model: str, revision: str | None, *, code: bool) -> Path:
    """Download a model's files and return their folder, whose name is the commit.

    Python files are downloaded only if `code` is True. The same weights often exist in several formats, so
    safetensors is requested first, and pickled weights only if there is no safetensors.

    Raises:
        ExportFailed: the hub does not deliver the model, or the repository has no weights.
    """
    with hub_errors_explained(model, revision):
        return _download(model, revision, code=code)


def _download(model: str, revision: str | None, *, code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    patterns = [*_FILES, *SAFE, *(_CODE if code else [])]
    folder = Path(snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns=_SUBFOLDERS))
    if module_configs := [f"{path}/{CONFIG}" for path in _module_folders(folder)]:
        snapshot_download(model, revision=folder.name, allow_patterns=module_configs)
    if not any(path for pattern in SAFE for path in folder.glob(pattern)):
        snapshot_download(model, revision=folder.name, allow_patterns=PICKLED, ignore_patterns=_SUBFOLDERS)
        if not any(path for pattern in PICKLED for path in folder.glob(pattern)):
            scope = " (HF_HUB_OFFLINE is set: only the local cache was searched)" if HF_HUB_OFFLINE else ""
            raise ExportFailed(missing_weights(model, _repository_files(model, folder)) + scope)
    return folder


def _repository_files(model: str, folder: Path) -> list[str]:
    """Return the names of all files in the repository; of the downloaded files if the hub does not answer."""
    from huggingface_hub import model_info

    try:
        return [file.rfilename for file in model_info(model, revision=folder.name).siblings or ()]
    except OSError:
        return [path.name for path in folder.iterdir()]


def _module_folders(folder: Path) -> list[str]:
    """Return the folders of the sentence-transformers modules that have their own config."""
    return [path for module in read_modules(folder) if _MODULE_FOLDER.fullmatch(path := str(module.get("path", "")))]

"""Download of a model from the Hugging Face hub.

The variables of huggingface_hub apply: HF_TOKEN, HF_HUB_OFFLINE, HF_HOME, HF_ENDPOINT, HTTPS_PROXY.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rerank_export.errors import ExportFailed
from rerank_export.source.hub_errors import hub_errors_explained
from rerank_export.source.sentence_transformers_modules import read_modules
from rerank_export.source.weight_files import PICKLED, SAFE, has_weights, missing_weights
from rerank_service.models.files import CONFIG

_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
_CODE = ["*.py"]
_SUBFOLDERS = ["*/*"]
"""Mostly exports to other formats."""
_MODULE_FOLDER = re.compile(r"[0-9]+_[A-Za-z]+")
"""The form in which sentence-transformers names the folder of a module, such as 1_LogitScore."""


def download(model: str, revision: str | None, *, code: bool) -> Path:
    """Download a model's files except the weights, and return their folder, whose name is the commit.

    Python files are downloaded only if `code` is True.

    Raises:
        ExportFailed: the hub does not deliver the model, or the repository has neither config.json nor weights.
    """
    with hub_errors_explained(model, revision):
        folder = _snapshot(model, revision, [*_FILES, *(_CODE if code else [])])
        if module_configs := [f"{path}/{CONFIG}" for path in _module_folders(folder)]:
            _snapshot(model, folder.name, module_configs, ignore=[])
        if not (folder / CONFIG).is_file():
            _check_published_weights(model, folder)
        return folder


def download_weights(model: str, folder: Path) -> None:
    """Download the weights of a model to its folder, as `download` returned it.

    The same weights often exist in several formats, so safetensors is requested first, and pickled weights only if
    there is no safetensors.

    Raises:
        ExportFailed: the hub does not deliver the weights, or the repository has none.
    """
    with hub_errors_explained(model, folder.name):
        for patterns in (SAFE, PICKLED):
            _snapshot(model, folder.name, patterns)
            if has_weights(folder, patterns):
                return
        raise _without_weights(model, folder)


def _snapshot(model: str, revision: str | None, patterns: list[str], ignore: Sequence[str] = _SUBFOLDERS) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    return Path(snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns=list(ignore)))


def _check_published_weights(model: str, folder: Path) -> None:
    """Describe a repository without weights by them: that says more than its missing config.json."""
    published = [Path(name) for name in _repository_files(model, folder)]
    if not any(path.match(pattern) for path in published for pattern in (*SAFE, *PICKLED)):
        raise _without_weights(model, folder)


def _without_weights(model: str, folder: Path) -> ExportFailed:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    scope = " (HF_HUB_OFFLINE is set: only the local cache was searched)" if HF_HUB_OFFLINE else ""
    return ExportFailed(missing_weights(model, _repository_files(model, folder)) + scope)


def _repository_files(model: str, folder: Path) -> list[str]:
    """Return the names of all files in the repository; of the downloaded files if the hub must not be asked.

    Raises:
        OSError: the hub does not answer. Then nobody knows which files it has.
    """
    from huggingface_hub import model_info
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return [path.name for path in folder.iterdir()]
    return [file.rfilename for file in model_info(model, revision=folder.name).siblings or ()]


def _module_folders(folder: Path) -> list[str]:
    """Return the folders of the sentence-transformers modules that have their own config."""
    return [path for module in read_modules(folder) if _MODULE_FOLDER.fullmatch(path := str(module.get("path", "")))]

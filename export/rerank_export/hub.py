"""A model from the Hugging Face hub: what is fetched of it, and why it could not be.

huggingface_hub's own variables hold: HF_TOKEN, HF_HUB_OFFLINE, HF_HOME, HF_ENDPOINT, HTTPS_PROXY.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from rerank_export.errors import ExportFailed, is_disk_full, one_line
from rerank_export.modules import read_modules
from rerank_export.weight_files import PICKLED, SAFE, missing_weights
from rerank_service.models.files import CONFIG

_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
_CODE = ["*.py"]
_SUBFOLDERS = ["*/*"]
"""Other people's exports, mostly."""
_STEP = re.compile(r"[0-9]+_[A-Za-z]+")
"""As sentence-transformers names the folder of a step."""


def download(model: str, revision: str | None, *, code: bool) -> Path:
    """Fetch a model's files, `code` among them where it is trusted; gives the folder, whose name is the commit.

    Raises:
        ExportFailed: it is not to be had.
    """
    with _turned(model, revision):
        return _snapshot(model, revision, code=code)


def _snapshot(model: str, revision: str | None, *, code: bool) -> Path:
    """The same weights are often there in several forms, so one is asked for at a time."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    wanted = [*_FILES, *SAFE, *(_CODE if code else [])]
    folder = Path(snapshot_download(model, revision=revision, allow_patterns=wanted, ignore_patterns=_SUBFOLDERS))
    if steps := [f"{path}/{CONFIG}" for path in _subfolders(folder)]:
        snapshot_download(model, revision=folder.name, allow_patterns=steps)
    if not any(path for pattern in SAFE for path in folder.glob(pattern)):
        snapshot_download(model, revision=folder.name, allow_patterns=PICKLED, ignore_patterns=_SUBFOLDERS)
        if not any(path for pattern in PICKLED for path in folder.glob(pattern)):
            seen = " (HF_HUB_OFFLINE: in what the cache has of it)" if HF_HUB_OFFLINE else ""
            raise ExportFailed(missing_weights(model, _names(model, folder)) + seen)
    return folder


def _names(model: str, folder: Path) -> list[str]:
    """Of all files of the repository, as far as can be known."""
    from huggingface_hub import model_info

    try:
        return [one.rfilename for one in model_info(model, revision=folder.name).siblings or ()]
    except OSError:  # offline, say
        return [path.name for path in folder.iterdir()]


def _subfolders(folder: Path) -> list[str]:
    """Of the steps of a sentence-transformers model that have settings of their own."""
    return [path for module in read_modules(folder) if _STEP.fullmatch(path := str(module.get("path", "")))]


@contextmanager
def _turned(model: str, revision: str | None) -> Iterator[None]:
    """Foreign errors into lines that say what to do."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # the last is how hf_xet fails
        raise ExportFailed(_line(error, model, revision)) from error


def _line(error: Exception, model: str, revision: str | None) -> str:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if is_disk_full(error):
        return f"there is no space left in the hub's cache for {model}: HF_HOME names another place"
    known = next((line for kind, line in _lines() if isinstance(error, kind)), None)
    if known is not None:
        return known.format(model=model, revision=revision)
    if isinstance(error, LocalEntryNotFoundError):
        return _not_here(model, revision, error)
    if isinstance(error, HfHubHTTPError) and error.response.status_code == HTTPStatus.UNAUTHORIZED:
        return "the hub does not accept the token that HF_TOKEN or `hf auth login` gives"
    return f"cannot fetch {model} from the hub: {one_line(error)}"


def _lines() -> Sequence[tuple[type[Exception], str]]:
    """What some errors mean; the more particular ones come first."""
    from huggingface_hub import errors
    from requests import exceptions

    return (
        (errors.HFValidationError, "{model!r} is neither a folder here nor the name of a model on the hub"),
        (
            errors.GatedRepoError,
            "{model} is gated: accept its terms on the hub, then set HF_TOKEN to a token of the account that did",
        ),
        (errors.RevisionNotFoundError, "{model} has no revision {revision!r}"),
        (
            errors.RepositoryNotFoundError,
            "{model} is neither a folder here nor on the hub, unless it is private: check the name, or set HF_TOKEN",
        ),
        (exceptions.ProxyError, "the proxy that HTTPS_PROXY names does not answer, so {model} cannot be fetched"),
        (
            exceptions.SSLError,
            "the hub's certificate is not accepted, so {model} cannot be fetched (REQUESTS_CA_BUNDLE names others)",
        ),
        (
            exceptions.ChunkedEncodingError,
            "the connection to the hub broke while {model} was fetched: try again, what came whole is kept",
        ),
    )


def _not_here(model: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError

    if HF_HUB_OFFLINE:
        wanted = f"{model} at {revision}" if revision else model
        where = f"is no folder here nor in the hub's cache ({HF_HUB_CACHE})"
        return f"{wanted} {where}, and HF_HUB_OFFLINE forbids to fetch it"
    cause = error.__cause__
    said = f" ({one_line(cause)})" if isinstance(cause, HfHubHTTPError) else ""
    return (
        f"{model} is no folder here, and the hub does not answer{said}: give a folder, or look to the network "
        "(HTTPS_PROXY, HF_ENDPOINT)"
    )

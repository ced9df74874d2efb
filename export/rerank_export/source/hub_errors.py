"""Errors of huggingface_hub, as one line that says what to do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

from rerank_export.errors import ExportFailed, is_disk_full, one_line


@contextmanager
def hub_errors_explained(model: str, revision: str | None) -> Iterator[None]:
    """Raise errors of the hub's client as ExportFailed.

    Raises:
        ExportFailed: the download failed.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # hf_xet raises RuntimeError
        raise ExportFailed(_message(error, model, revision)) from error


def _message(error: Exception, model: str, revision: str | None) -> str:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if is_disk_full(error):
        return f"no space left in the hub's cache for {model}: free some, or set HF_HOME to another disk"
    known = next((line for kind, line in _known_messages() if isinstance(error, kind)), None)
    if known is not None:
        return known.format(model=model, revision=revision)
    if isinstance(error, LocalEntryNotFoundError):
        return _not_found_locally(model, revision, error)
    if isinstance(error, HfHubHTTPError) and error.response.status_code == HTTPStatus.UNAUTHORIZED:
        return "the hub rejects the token from HF_TOKEN or `hf auth login`: set a valid one"
    return f"cannot fetch {model} from the hub: {one_line(error)}"


def _known_messages() -> Sequence[tuple[type[Exception], str]]:
    """Return the messages for known errors; subclasses come before their base classes."""
    from huggingface_hub import errors
    from requests import exceptions

    return (
        (errors.HFValidationError, "{model!r} is neither a local folder nor a valid model name on the hub"),
        (
            errors.GatedRepoError,
            "{model} is gated: accept its terms on the hub, then set HF_TOKEN to a token of that account",
        ),
        (errors.RevisionNotFoundError, "{model} has no revision {revision!r}"),
        (
            errors.RepositoryNotFoundError,
            "{model} is neither a local folder nor a public model on the hub: check the name, or set HF_TOKEN",
        ),
        (exceptions.ProxyError, "cannot fetch {model}: the proxy in HTTPS_PROXY does not answer"),
        (
            exceptions.SSLError,
            "cannot fetch {model}: the hub's certificate is not trusted (REQUESTS_CA_BUNDLE sets the CA file)",
        ),
        (
            exceptions.ChunkedEncodingError,
            "the connection to the hub broke while {model} was being fetched: try again; complete files are kept",
        ),
    )


def _not_found_locally(model: str, revision: str | None, error: Exception) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError

    if HF_HUB_OFFLINE:
        wanted = f"{model} at {revision}" if revision else model
        return (
            f"{wanted} is neither a local folder nor in the hub's cache ({HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids "
            "to fetch it"
        )
    cause = error.__cause__
    detail = f" ({one_line(cause)})" if isinstance(cause, HfHubHTTPError) else ""
    return (
        f"{model} is not a local folder, and the hub does not answer{detail}: give a folder, or check the network "
        "(HTTPS_PROXY, HF_ENDPOINT)"
    )

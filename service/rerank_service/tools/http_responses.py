"""HTTP connection to a rerank server, and its JSON responses: models, messages and status codes."""

import re
from http import HTTPStatus
from typing import Any

import httpx

from rerank_service.errors import SettingsInvalid
from rerank_service.tools.client_tls import ClientTls
from rerank_service.tools.loadtest.target import ServerInfo

UNKNOWN_ROUTE = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""Status codes for an unknown path or an unknown body."""
DEADLINE_MARGIN_SECONDS = 0.5
"""Wait beyond the deadline of a call, so that the server's own deadline error arrives first."""
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")
_UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=None)
"""By default, httpx lets calls beyond 100 wait, and closes connections beyond 20 after each call."""
_EXCERPT = 200
"""Maximum number of characters of a message."""


def parse_url(text: str) -> httpx.URL:
    """Return a URL.

    Raises:
        SettingsInvalid: the text is not a URL.
    """
    try:
        url = httpx.URL(text)
        url.host  # noqa: B018 - raises if the host name cannot be decoded
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsInvalid(f"{text} is not a URL: {error}") from error
    return url


def base_url(text: str) -> httpx.URL:
    """Return a URL without its path."""
    return parse_url(text).copy_with(raw_path=b"/")


def connect(url: str, api_key: str | None, timeout: float | None, tls: ClientTls | None = None) -> httpx.AsyncClient:
    """Return an HTTP client of the server at a URL, with any number of connections. `timeout` is in seconds."""
    base = base_url(url)
    return httpx.AsyncClient(
        base_url=base,
        timeout=timeout,
        limits=_UNLIMITED,
        verify=tls.context() if tls else True,
        headers={"authorization": f"Bearer {api_key}"} if api_key else {},
        trust_env=not _LOOPBACK.fullmatch(base.host),  # loopback addresses never go through a proxy
    )


def status_kind(status: int) -> str:
    """Return the kind by which failures with an HTTP status are counted."""
    return f"HTTP {int(status)}"


def read_message(response: httpx.Response) -> str:
    """Return the beginning of a response in one line; of JSON its `message`, `detail` or `error`."""
    value = read_json(response)
    while isinstance(value, dict):
        value = next((value[key] for key in ("message", "detail", "error") if value.get(key)), None)
    return " ".join(str(value or response.text)[:_EXCERPT].split()) or response.reason_phrase


def read_json(response: httpx.Response) -> Any:
    """Return the JSON of a response; None if it is not JSON."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


async def list_models(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return the models that a server lists, as JSON objects with an `id`.

    `/v1/models` is OpenAI's list, as in this server and vLLM; `/models` is Infinity's; `/info` is TEI's.
    """
    for path in ("/v1/models", "/models", "/info"):
        response = await http.get(path)
        value = read_json(response) if response.is_success else None
        if isinstance(value, dict) and (models := _models(value)):
            return models
    return []


async def read_server_info(http: httpx.AsyncClient) -> ServerInfo:
    """Return the first model that a server lists; empty if it lists none."""
    first = next(iter(await list_models(http)), {})
    return ServerInfo(*(str(first.get(key) or "") for key in ("id", "precision", "provider")))


def _models(value: dict[str, Any]) -> list[dict[str, Any]]:
    models = value.get("data")
    if isinstance(models, list) and models and isinstance(models[0], dict) and models[0].get("id"):
        return [model for model in models if isinstance(model, dict)]
    if value.get("model_id"):
        return [{"id": value["model_id"], "precision": value.get("model_dtype")}]
    return []

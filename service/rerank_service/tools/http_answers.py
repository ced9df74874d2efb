"""Answers of servers that speak JSON over HTTP, and the connection to one."""

import re
from http import HTTPStatus
from typing import Any

import httpx

from rerank_service.errors import SettingsInvalid
from rerank_service.tools.loadtest.target import Served

NOT_SPOKEN_HERE = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""Statuses for a path or a body that a server does not know."""
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")
_EXCERPT = 200


def parsed(url: str) -> httpx.URL:
    """Read a URL.

    Raises:
        SettingsInvalid: it is not one.
    """
    try:
        read = httpx.URL(url)
        read.host  # noqa: B018 - reading it decodes the name
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsInvalid(f"{url} is not a URL: {error}") from error
    return read


def base_of(url: str) -> httpx.URL:
    """Return a URL without its path."""
    return parsed(url).copy_with(raw_path=b"/")


def connected(url: str, api_key: str | None, timeout: float | None) -> httpx.AsyncClient:
    """Return a client of the server at a URL."""
    base = base_of(url)
    return httpx.AsyncClient(
        base_url=base,
        timeout=timeout,
        headers={"authorization": f"Bearer {api_key}"} if api_key else {},
        trust_env=not _LOOPBACK.fullmatch(base.host),  # a proxy that the environment names cannot reach this machine
    )


def kind(status: int) -> str:
    """Return the name that failures with a status are counted by."""
    return f"HTTP {int(status)}"


def message_of(answer: httpx.Response) -> str:
    """Return the beginning of an answer, in one line; of JSON the part that is for people."""
    said = json_of(answer)
    while isinstance(said, dict):
        said = next((said[key] for key in ("message", "detail", "error") if said.get(key)), None)
    return " ".join(str(said or answer.text)[:_EXCERPT].split()) or answer.reason_phrase


def json_of(answer: httpx.Response) -> Any:
    """Return an answer's JSON; None where it is not JSON."""
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


async def listed_models(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return the models that a server lists: OpenAI's list (this server, vLLM), Infinity's without /v1, TEI's /info."""
    for path in ("/v1/models", "/models", "/info"):
        answer = await http.get(path)
        said = json_of(answer) if answer.is_success else None
        if isinstance(said, dict) and (models := _models(said)):
            return models
    return []


async def introduction(http: httpx.AsyncClient) -> Served:
    """Return the first model that a server lists."""
    first = next(iter(await listed_models(http)), {})
    return Served(*(str(first.get(key) or "") for key in ("id", "precision", "provider")))


def _models(said: dict[str, Any]) -> list[dict[str, Any]]:
    listed = said.get("data")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict) and listed[0].get("id"):
        return [one for one in listed if isinstance(one, dict)]
    if said.get("model_id"):
        return [{"id": said["model_id"], "precision": said.get("model_dtype")}]
    return []

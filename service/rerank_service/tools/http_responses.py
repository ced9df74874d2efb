"""JSON responses of rerank servers: models, messages and status codes."""

import math
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from rerank_service.tools.loadtest.target import ServerInfo

UNKNOWN_PATH = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
"""Status codes for an unknown path."""
INVALID_BODY = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
"""Status codes for an invalid body, or one of another dialect."""
UNKNOWN_ROUTE = UNKNOWN_PATH + INVALID_BODY
"""Status codes for an unknown path or an unknown body."""
_EXCERPT = 200
"""Maximum number of characters of a message."""


def status_kind(status: int) -> str:
    """Return the kind by which failures with an HTTP status are counted."""
    return f"HTTP {int(status)}"


def read_message(response: httpx.Response) -> str:
    """Return the beginning of a response in one line; of JSON its `message`, `detail` or `error`."""
    value = read_json(response)
    while isinstance(value, dict):
        value = next((value[key] for key in ("message", "detail", "error") if value.get(key)), None)
    return " ".join(str(value or response.text)[:_EXCERPT].split()) or response.reason_phrase


def read_retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of the header `retry-after` (RFC 9110); None without a valid one.

    A date counts from the date of the response, so that the clock of this machine does not matter.
    """
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_between(response.headers.get("date", ""), text)
    return seconds if 0 <= seconds < math.inf else None


def _seconds_between(first: str, last: str) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(last) - parsedate_to_datetime(first)).total_seconds())
    except (TypeError, ValueError):  # no dates, or one without a time zone
        return None


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

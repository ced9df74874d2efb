"""The model of a running server that the requests of a command get."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from rerank.client import AsyncRerankClient
from rerank.errors import Internal, NotFound, RerankError
from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import SettingsInvalid
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools.rest_client import RestClient
from rerank_service.tools.rest_failure import RestCallFailed
from rerank_service.tools.server_address import ServerAddress
from rerank_service.tools.server_calls import CALL_ERRORS, Failure, failure, failure_message, repeated
from rerank_service.tools.short_text import short_text

T = TypeVar("T")
Client = AsyncRerankClient | RestClient
_ListModels = Callable[[], Awaitable[Sequence[pb.Model]]]


async def served_model(client: Client, server: ServerAddress, name: str, *, patient: bool = False) -> pb.Model:
    """Return the model that requests with a name get. It has its engine, if the server shows that.

    A model that is not loaded has no engine yet, and the server accepts names that it does not list, such as `default`.
    In both cases, a pair is scored first, which loads the model and returns its name. `patient`: repeat the list of
    models, too, while the server is busy.

    Raises:
        RerankError, RestCallFailed: a call failed.
        SettingsInvalid: no model has the name, or the API key may use no model.
    """
    list_models = partial(repeated, client.models, after_timeouts=True) if patient else client.models
    models = await _models(list_models, server)
    info = _listed(models, name)
    if info is not None and info.provider:
        return info
    try:
        own_name = await _score_pair(client, name)
    except (NotFound, RestCallFailed) as error:
        if not _is_unknown(error):
            raise
        raise _unknown(models, server, name) from error
    models = await _models(list_models, server)
    info = _listed(models, own_name) or (models[0] if len(models) == 1 else None)
    if info is None:
        raise _unknown(models, server, name)
    return info


async def _score_pair(client: Client, name: str) -> str:
    """Score a short pair, as soon as the server is not busy. Return the name of the model."""
    text = short_text()
    response = await repeated(lambda: client.rerank(text, [text], model=name), after_timeouts=True)
    return response.model


async def scored_if_working(client: Client, name: str, call: Callable[[], Awaitable[T]], *, repeats: int = 0) -> T:
    """Score documents by `call`, and repeat it at most `repeats` times after a missed deadline, once after a failure of
    the model.

    After both, a short pair is scored first. So the error is about these documents, and not about a server that hangs,
    restarts or is broken.

    Raises:
        RerankError, RestCallFailed: the call failed.
        NothingScored: the server does not score the short pair either.
    """
    while True:
        try:
            return await repeated(call)
        except CALL_ERRORS as error:
            is_late = failure(error) is Failure.TIMEOUT
            if not (is_late or _is_of_model(error)):
                raise
            await _check_that_it_scores(client, name)
            if repeats <= 0:
                raise
            repeats = repeats - 1 if is_late else 0


def _is_of_model(error: Exception) -> bool:
    """Return whether the model, or another part of the server, failed on a request."""
    return isinstance(error, Internal) or getattr(error, "status", None) == HTTPStatus.INTERNAL_SERVER_ERROR


async def _check_that_it_scores(client: Client, name: str) -> None:
    try:
        await _score_pair(client, name)
    except CALL_ERRORS as error:
        raise NothingScored.by("the server", failure_message(error)) from error


async def _models(list_models: _ListModels, server: ServerAddress) -> Sequence[pb.Model]:
    models = await list_models()
    if not models:
        raise SettingsInvalid(f"{server.target} shows no model to this API key: use another key")
    return models


def _listed(models: Sequence[pb.Model], name: str) -> pb.Model | None:
    """Return the model with a name or alias. The default model is the first one."""
    return next((info for info in models if name in ("", info.name, *info.aliases)), None)


def _is_unknown(error: RerankError | RestCallFailed) -> bool:
    return isinstance(error, NotFound) or getattr(error, "status", None) == HTTPStatus.NOT_FOUND


def _unknown(models: Sequence[pb.Model], server: ServerAddress, name: str) -> SettingsInvalid:
    names = ", ".join(info.name for info in models)
    return SettingsInvalid(f"{server.target} does not serve {name}: --served-model is one of {names}")

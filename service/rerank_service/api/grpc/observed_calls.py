"""Observe each gRPC call, also of unknown methods."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import grpc

from rerank_service.api.auth import Keys
from rerank_service.api.client_address import peer_address
from rerank_service.api.grpc.aborted_calls import freed_at_abort
from rerank_service.api.grpc.client_messages import ClientMessages, Context
from rerank_service.api.request_id import REQUEST_ID, request_id_from
from rerank_service.api.request_observation import Observing, RequestObservation
from rerank_service.errors import InvalidRequest, Unauthenticated
from rerank_service.observability.request_record import OTHER

_DEADLINE_TOLERANCE = 0.1
"""Seconds by which the deadline of a client may be earlier than that of the server."""


def metadata_of(context: Context) -> dict[str, str]:
    """Return the metadata of a call, without binary values."""
    return dict(_headers(context))


def _headers(context: Context) -> list[tuple[str, str]]:
    return [(name, value) for name, value in context.invocation_metadata() or () if isinstance(value, str)]


def _ends_now(context: Context) -> bool:
    """Return whether the deadline of a cancelled call has passed, or passes now.

    A client cancels a call at its own deadline. The server's begins when the call arrives, and so ends a little later.
    """
    remaining = context.time_remaining()
    return remaining is not None and remaining < _DEADLINE_TOLERANCE


@asynccontextmanager
async def observed_call(
    context: Context, metadata: Mapping[str, str], call: str, observing: Observing, route: str | None = None
) -> AsyncIterator[RequestObservation]:
    """Observe a call during the block. A block that is cancelled ends with CANCELLED, or with DEADLINE_EXCEEDED.

    `metadata` is that of the call. `call` is the name of the method; `route` its name in metrics, by default the same.
    """
    observer = observing.observer
    observation = RequestObservation(
        observer=observer,
        id=request_id_from(metadata),
        protocol="grpc",
        method="POST",
        call=call,
        client=observing.proxies.client(peer_address(context.peer()), partial(_headers, context)),
        headers=partial(_headers, context),
        keep_texts=observing.keep_texts,
        traced=observing.traced,
        route=call if route is None else route,
        dialect=call.rpartition(".")[0] if route is None else "",
    )
    observer.call_started(observation.route)
    finish = observation.finish
    try:
        yield observation
        finish = observation.finish_soon  # gRPC sends the response in this turn, when the handler has returned
    except asyncio.CancelledError:
        observation.cancel(deadline_passed=_ends_now(context))
        raise
    finally:
        finish()


class _UnknownMethod(InvalidRequest):
    """The server has no such method."""

    kind = "unknown_route"


def unknown_method(observing: Observing, keys: Keys) -> "grpc.RpcMethodHandler[bytes, bytes]":
    """Return the handler of each method that no service has: the status is UNIMPLEMENTED, as of gRPC itself. Its name
    is not known (registered_methods.py). `keys` show whose messages may be read."""

    @freed_at_abort
    async def refuse(messages: AsyncIterator[bytes], context: Context) -> None:
        metadata = metadata_of(context)
        async with observed_call(context, metadata, OTHER, observing, route=OTHER) as observation:
            error = _UnknownMethod("Method not found!", reason="unknown_route")
            observation.fail(error)
            observation.status = grpc.StatusCode.UNIMPLEMENTED.name
            with suppress(Unauthenticated):
                keys.check(metadata)
                observation.received_bytes += await ClientMessages(messages, context, metadata).drop_rest()
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error), ((REQUEST_ID, observation.id),))

    return grpc.stream_stream_rpc_method_handler(refuse)

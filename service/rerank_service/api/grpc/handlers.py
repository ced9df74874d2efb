"""A service's methods as gRPC handlers: bytes decoded here, errors turned into statuses here.

grpc.aio answers UNKNOWN when a deserializer raises, so ours is none: the handler gets the bytes, and what does
not decode is an InvalidRequest like any other.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from rerank_service.api.auth import Keys
from rerank_service.api.request_context import RequestContext
from rerank_service.api.request_id import request_id_from
from rerank_service.errors import InvalidRequest, NotReady, Overloaded, RequestError
from rerank_service.observability.request_log import log_internal_error, log_refusal
from rerank_service.scheduling.deadline import Deadline

_MESSAGE_CHARS = 500

Context = grpc.aio.ServicerContext[bytes, bytes]
In = TypeVar("In", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[In]):
    """One call, decoded."""

    context: RequestContext
    messages: AsyncIterator[In]
    """The caller's messages, one for a unary request. The next message is read when it is asked for."""
    write: Callable[[Message], Awaitable[None]]
    """Send one message of a streaming response."""
    send_metadata: Callable[[Mapping[str, str]], Awaitable[None]]
    """Send initial metadata; once, and before any message."""


Unary = Callable[[Call[Any]], Awaitable[Message]]
Streaming = Callable[[Call[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """A service and what answers it."""

    descriptor: ServiceDescriptor
    methods: Mapping[str, Unary | Streaming]
    """By their names in the proto file. Streaming is what answers with a stream."""
    codes: Mapping[grpc.StatusCode, grpc.StatusCode] = field(default_factory=dict)
    """Where errors have another status than their classes say."""

    def handler(self, keys: Keys, default_timeout: float) -> grpc.GenericRpcHandler:
        """Return handlers for all methods. `default_timeout` is the deadline of a call that sets none, in seconds."""
        return grpc.method_handlers_generic_handler(
            self.descriptor.full_name,
            {method.name: self._handler(method, keys, default_timeout) for method in self.descriptor.methods},
        )

    def _handler(
        self, method: MethodDescriptor, keys: Keys, default_timeout: float
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        behaviour: Any = self.methods[method.name]

        def answering(context: Context) -> AbstractAsyncContextManager[RequestContext]:
            return _answering(context, _request_context(context, method, default_timeout), keys, self.codes)

        async def stream(messages: AsyncIterator[bytes], context: Context) -> None:
            async with answering(context) as request:
                await behaviour(_call(method, messages, context, request))

        async def single(messages: AsyncIterator[bytes], context: Context) -> bytes:
            async with answering(context) as request:
                response: Message = await behaviour(_call(method, messages, context, request))
                return response.SerializeToString()
            raise AssertionError("unreachable: _answering aborts or passes")

        async def unary(message: bytes, context: Context) -> bytes:
            return await single(_single(message), context)

        if method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(stream)
        if method.client_streaming:
            return grpc.stream_unary_rpc_method_handler(single)
        return grpc.unary_unary_rpc_method_handler(unary)


def _metadata(context: Context) -> dict[str, str]:
    return {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}


def _request_context(context: Context, method: MethodDescriptor, default_timeout: float) -> RequestContext:
    remaining = context.time_remaining()
    return RequestContext(
        id=request_id_from(_metadata(context)),
        protocol="grpc",
        call=method.full_name,
        deadline=Deadline.after(default_timeout if remaining is None else remaining),
    )


def _call(
    method: MethodDescriptor, messages: AsyncIterator[bytes], context: Context, request: RequestContext
) -> Call[Any]:
    async def write(message: Message) -> None:
        await context.write(message.SerializeToString())

    async def send_metadata(metadata: Mapping[str, str]) -> None:
        await context.send_initial_metadata(tuple(metadata.items()))

    return Call(request, _decoded(method.input_type, messages), write, send_metadata)


async def _single(message: bytes) -> AsyncIterator[bytes]:
    yield message


async def _decoded(descriptor: Descriptor, messages: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    message_class = message_factory.GetMessageClass(descriptor)
    async for message in messages:
        try:
            yield message_class.FromString(message)
        except DecodeError as error:
            raise InvalidRequest(f"these bytes are no {descriptor.full_name}: {error}", reason="undecodable") from error


@asynccontextmanager
async def _answering(
    context: Context, request: RequestContext, keys: Keys, codes: Mapping[grpc.StatusCode, grpc.StatusCode]
) -> AsyncIterator[RequestContext]:
    """Check the API key, and turn an error of the block into the status of the call."""
    try:
        request = replace(request, caller=keys.check(_metadata(context)))
        yield request
    except RequestError as error:
        code = codes.get(error.code, error.code)
        log_refusal(error, request.log_fields(), status=code.name)
        await _abort(context, code, str(error), _details(error))
    except Exception:  # noqa: BLE001 - every request gets an answer
        log_internal_error(request.log_fields())
        await _abort(context, grpc.StatusCode.INTERNAL, f"internal error (request id {request.id})", [])


def _details(error: RequestError) -> list[Message]:
    details: list[Message] = []
    if isinstance(error, InvalidRequest) and error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=str(error)[:_MESSAGE_CHARS], reason=error.reason.upper()
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded | NotReady):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(retry)
    return details


async def _abort(context: Context, code: grpc.StatusCode, message: str, details: list[Message]) -> None:
    # a status travels in headers, twice here, and clients take 8 KiB of those: a longer one would be lost whole
    message = message[:_MESSAGE_CHARS]
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    await context.abort(code, message, (("grpc-status-details-bin", status.SerializeToString()),))

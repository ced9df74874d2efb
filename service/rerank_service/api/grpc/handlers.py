"""gRPC handlers of a service: decode the messages, check the API key, and turn errors into statuses.

A handler receives bytes and decodes them, so that invalid bytes are an InvalidRequest. If a deserializer raised,
grpc.aio would respond with UNKNOWN.
"""

import asyncio
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
from rerank_service.api.grpc.compression import Compression
from rerank_service.api.grpc.message_text import repair_message
from rerank_service.api.request_context import RequestContext, internal_error_message
from rerank_service.api.request_id import request_id_from
from rerank_service.errors import InvalidRequest, RequestError
from rerank_service.observability.request_log import log_internal_error, log_refusal
from rerank_service.scheduling.deadline import Deadline

_MESSAGE_CHARS = 500
"""Maximum length of an error message. The status of a call is sent in headers, twice. Clients accept 8 KiB of headers
and lose a status that is longer."""

Context = grpc.aio.ServicerContext[bytes, bytes]
In = TypeVar("In", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[In]):
    """One call with decoded messages."""

    context: RequestContext
    messages: AsyncIterator[In]
    """The messages of the client; one for a unary request. Each is read from the network when it is awaited."""
    write: Callable[[Message], Awaitable[None]]
    """Send one message of a streaming response."""
    send_metadata: Callable[[Mapping[str, str]], Awaitable[None]]
    """Send the initial metadata: at most once, and before any message."""


Unary = Callable[[Call[Any]], Awaitable[Message]]
Streaming = Callable[[Call[Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """A service and its methods."""

    descriptor: ServiceDescriptor
    methods: Mapping[str, Unary | Streaming]
    """By name in the proto file. A method with a streaming response is `Streaming`, any other is `Unary`."""
    codes: Mapping[grpc.StatusCode, grpc.StatusCode] = field(default_factory=dict)
    """Statuses that the service replaces by others: key is the status of the error's class."""

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

        def guarded(sender: _Sender) -> AbstractAsyncContextManager[RequestContext]:
            request = _request_context(sender.context, method, default_timeout)
            return _guarded(sender, request, keys, self.codes)

        async def stream(messages: AsyncIterator[bytes], context: Context) -> None:
            sender = _Sender(context)
            async with guarded(sender) as request:
                await behaviour(_call(method, messages, sender, request))

        async def single(messages: AsyncIterator[bytes], context: Context) -> bytes:
            sender = _Sender(context)
            async with guarded(sender) as request:
                if not method.client_streaming:
                    messages = _only(messages, request.deadline)
                response: Message = await behaviour(_call(method, messages, sender, request))
                return await sender.last(response)
            raise AssertionError("unreachable: _guarded passes or aborts the call")

        if method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(stream)
        # also for unary methods: gRPC would wait for their message without end, before it calls the handler
        return grpc.stream_unary_rpc_method_handler(single)


class _Sender:
    """Sends the messages and the error of one call.

    gRPC sends one message at a time and cannot stop: a write that the deadline cancels continues until the client
    reads. The status of the call must wait for it.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._compression = Compression(context, _metadata(context))
        self._writing: asyncio.Future[None] | None = None

    async def send_metadata(self, metadata: Mapping[str, str]) -> None:
        """Send the initial metadata."""
        await self._compression.announce(metadata)

    async def last(self, message: Message) -> bytes:
        """Return the message of a unary response, for gRPC to send."""
        data = message.SerializeToString()
        await self._compression.before_message(len(data))
        return data

    async def write(self, message: Message) -> None:
        """Send one message. It is sent even if the wait for it is cancelled."""
        data = message.SerializeToString()
        await self._compression.before_message(len(data))
        self._writing = asyncio.ensure_future(self.context.write(data))
        self._writing.add_done_callback(lambda writing: writing.cancelled() or writing.exception())  # seen
        await asyncio.wait([self._writing])
        self._writing.result()

    async def abort(self, code: grpc.StatusCode, message: str, details: list[Message]) -> None:
        """End the call with an error, after the message that is being sent. Without a client, only end the call."""
        message = message[:_MESSAGE_CHARS]
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in details:
            status.details.add().Pack(detail)
        if self._writing is not None:
            await asyncio.wait([self._writing])
            if self._writing.exception() is not None:
                raise asyncio.CancelledError  # the client has cancelled the call
        await self.context.abort(code, message, (("grpc-status-details-bin", status.SerializeToString()),))


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
    method: MethodDescriptor, messages: AsyncIterator[bytes], sender: _Sender, request: RequestContext
) -> Call[Any]:
    return Call(request, _decoded(method.input_type, messages), sender.write, sender.send_metadata)


async def _only(messages: AsyncIterator[bytes], deadline: Deadline) -> AsyncIterator[bytes]:
    """Yield the message of a unary call. Its bytes may arrive until the deadline."""
    async with deadline.enforced():
        message = await anext(aiter(messages), None)
    if message is None:
        raise InvalidRequest("The call has no message: send one.", reason="no_message")
    yield message


async def _decoded(descriptor: Descriptor, messages: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    message_class = message_factory.GetMessageClass(descriptor)
    async for message in messages:
        try:
            decoded = _parsed(message_class, descriptor, message)
        except DecodeError as error:
            raise InvalidRequest(
                f"The request is not a valid {descriptor.full_name} message ({error}). "
                "Generate the client from the server's proto file.",
                reason="undecodable",
            ) from error
        yield decoded


def _parsed(message_class: type[Message], descriptor: Descriptor, data: bytes) -> Message:
    try:
        return message_class.FromString(data)
    except DecodeError:
        repaired = repair_message(data, descriptor)
        if repaired is None:
            raise
    return message_class.FromString(repaired)


@asynccontextmanager
async def _guarded(
    sender: _Sender, request: RequestContext, keys: Keys, codes: Mapping[grpc.StatusCode, grpc.StatusCode]
) -> AsyncIterator[RequestContext]:
    """Check the API key, and yield the request with its caller. Turn an error of the block into the call's status."""
    try:
        request = replace(request, caller=keys.check(_metadata(sender.context)))
        yield request
    except RequestError as error:
        code = codes.get(error.code, error.code)
        log_refusal(error, request.log_fields(), status=code.name)
        await sender.abort(code, str(error), _details(error))
    except Exception:  # noqa: BLE001 - every request gets a response
        log_internal_error(request.log_fields())
        await sender.abort(grpc.StatusCode.INTERNAL, internal_error_message(request.id), [])


def _details(error: RequestError) -> list[Message]:
    details: list[Message] = []
    if isinstance(error, InvalidRequest) and error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=str(error)[:_MESSAGE_CHARS], reason=error.reason.upper()
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(retry)
    return details

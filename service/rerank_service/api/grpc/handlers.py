"""gRPC handlers of a service: decode the messages, check the API key, and turn errors into statuses.

A handler receives bytes and decodes them, so that invalid bytes are an InvalidRequest. If a deserializer raised,
grpc.aio would respond with UNKNOWN.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from rerank_service.api.auth import Keys
from rerank_service.api.grpc.aborted_calls import freed_at_abort
from rerank_service.api.grpc.client_messages import ClientMessages, Context
from rerank_service.api.grpc.compression import Compression
from rerank_service.api.grpc.message_parts import LARGE_BYTES, parsed_in_parts
from rerank_service.api.grpc.message_text import repaired_in_steps
from rerank_service.api.grpc.observed_calls import metadata_of, observed_call
from rerank_service.api.grpc.registered_methods import Handlers
from rerank_service.api.grpc.retry_pushback import retry_pushback
from rerank_service.api.request_context import RequestContext, internal_error_message
from rerank_service.api.request_id import REQUEST_ID
from rerank_service.api.request_observation import Observing, RequestObservation
from rerank_service.errors import InvalidRequest, RequestError
from rerank_service.long_work import in_steps, parsing_turn
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.deadline import Deadline

_MESSAGE_CHARS = 500
"""Maximum length of an error message. The status of a call is sent in headers, twice. Clients accept 8 KiB of headers
and lose a status that is longer."""

_ERROR_DOMAIN = "rerank.v1"
"""Domain of the reasons in google.rpc.ErrorInfo."""

In = TypeVar("In", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[In]):
    """One call with decoded messages."""

    context: RequestContext
    observation: RequestObservation
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

    def handlers(self, keys: Keys, default_timeout: float, observing: Observing | None = None) -> Handlers:
        """Return handlers for all methods. `default_timeout` is the deadline of a call that sets none, in seconds.
        `observing` observes each call."""
        edge = _Edge(keys, default_timeout, observing or Observing())
        return {method.name: self._handler(method, edge) for method in self.descriptor.methods}

    def _handler(self, method: MethodDescriptor, edge: "_Edge") -> "grpc.RpcMethodHandler[bytes, bytes]":
        behaviour: Any = self.methods[method.name]

        @freed_at_abort
        async def stream(messages: AsyncIterator[bytes], context: Context) -> None:
            async with _guarded(context, method, messages, edge, self.codes) as (request, sender):
                await behaviour(_call(method, messages, sender, request))

        @freed_at_abort
        async def single(messages: AsyncIterator[bytes], context: Context) -> bytes:
            async with _guarded(context, method, messages, edge, self.codes) as (request, sender):
                response: Message = await behaviour(_call(method, messages, sender, request))
                return await sender.last(response)
            raise AssertionError("unreachable: _guarded passes or aborts the call")

        if method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(stream)
        # also for unary methods: gRPC would wait for their message without end, before it calls the handler
        return grpc.stream_unary_rpc_method_handler(single)


@dataclass(frozen=True, slots=True)
class _Edge:
    """Values that are the same for all calls."""

    keys: Keys
    default_timeout: float
    observing: Observing


class _Sender:
    """Sends the messages and the error of one call.

    gRPC sends one message at a time and cannot stop: a write that the deadline cancels continues until the client
    reads. The status of the call must wait for it, and for the last message of a client that would lose it.
    """

    received: ClientMessages | None = None
    """The messages of a streaming client whose API key is valid: those of others are not read."""

    def __init__(self, context: Context, metadata: Mapping[str, str], observation: RequestObservation) -> None:
        self.context = context
        self.observation = observation
        self._compression = Compression(context, metadata)
        self._writing: asyncio.Future[None] | None = None

    async def send_metadata(self, metadata: Mapping[str, str]) -> None:
        """Send the initial metadata."""
        await self._compression.announce(metadata)

    async def last(self, message: Message) -> bytes:
        """Return the message of a unary response, for gRPC to send."""
        return await self._serialized(message)

    async def write(self, message: Message) -> None:
        """Send one message. It is sent even if the wait for it is cancelled."""
        data = await self._serialized(message)
        self._writing = asyncio.ensure_future(self.context.write(data))
        self._writing.add_done_callback(lambda writing: writing.cancelled() or writing.exception())  # seen
        await asyncio.wait([self._writing])
        self._writing.result()

    async def drop_rest(self) -> None:
        """Drop further messages of the client, if it would lose the status of a call that ends before them."""
        if self.received is not None:
            self.observation.received_bytes += await self.received.drop_rest()

    async def _serialized(self, message: Message) -> bytes:
        data = message.SerializeToString()
        self.observation.sent_bytes += len(data)
        await self._compression.before_message(len(data))
        return data

    async def abort(
        self, code: grpc.StatusCode, message: str, details: list[Message], metadata: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """End the call with an error, after the message that is being sent. Without a client, only end the call.
        `metadata` is additional trailing metadata."""
        self.observation.status = code.name
        await self.drop_rest()
        message = message[:_MESSAGE_CHARS]
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in details:
            status.details.add().Pack(detail)
        if self._writing is not None:
            await asyncio.wait([self._writing])
            if self._writing.exception() is not None:
                raise asyncio.CancelledError  # the client has cancelled the call
        packed = ("grpc-status-details-bin", status.SerializeToString())
        await self.context.abort(code, message, (packed, (REQUEST_ID, self.observation.id), *metadata))


def _request_context(
    context: Context, caller: Caller, observation: RequestObservation, default_timeout: float
) -> RequestContext:
    return RequestContext(
        id=observation.id,
        call=observation.call,
        deadline=Deadline.after(_remaining(context, default_timeout)),
        caller=caller,
    )


def _remaining(context: Context, default_timeout: float) -> float:
    """Return the seconds until the deadline of a call."""
    remaining = context.time_remaining()
    return default_timeout if remaining is None else remaining


def _call(
    method: MethodDescriptor, messages: AsyncIterator[bytes], sender: _Sender, request: RequestContext
) -> Call[Any]:
    observation, received = sender.observation, sender.received or _only(messages, request.deadline)
    decoded = _decoded(method.input_type, received, observation, request.deadline)
    return Call(request, observation, decoded, sender.write, sender.send_metadata)


async def _only(messages: AsyncIterator[bytes], deadline: Deadline) -> AsyncIterator[bytes]:
    """Yield the message of a unary call. Its bytes may arrive until the deadline."""
    async with deadline.enforced():
        message = await anext(aiter(messages), None)
    if message is None:
        raise InvalidRequest("The call has no message: send one.", reason="no_message")
    yield message


async def _decoded(
    descriptor: Descriptor, messages: AsyncIterator[bytes], observation: RequestObservation, deadline: Deadline
) -> AsyncIterator[Message]:
    message_class = message_factory.GetMessageClass(descriptor)
    async for message in messages:
        observation.received_bytes += len(message)
        try:
            async with deadline.enforced():
                decoded = await _parsed(message_class, descriptor, message)
        except DecodeError as error:
            raise InvalidRequest(
                f"The request is not a valid {descriptor.full_name} message ({error}). "
                "Generate the client from the server's proto file.",
                reason="undecodable",
            ) from error
        yield decoded


async def _parsed(message_class: type[Message], descriptor: Descriptor, data: bytes) -> Message:
    async with parsing_turn(len(data)):
        try:
            return await _read(message_class, data)
        except DecodeError:
            repaired = await in_steps(repaired_in_steps(data, descriptor))
            if repaired is None:
                raise
        return await _read(message_class, repaired)


async def _read(message_class: type[Message], data: bytes) -> Message:
    if len(data) > LARGE_BYTES:
        return await in_steps(parsed_in_parts(message_class, data))
    return message_class.FromString(data)


@asynccontextmanager
async def _guarded(
    context: Context,
    method: MethodDescriptor,
    messages: AsyncIterator[bytes],
    edge: _Edge,
    codes: Mapping[grpc.StatusCode, grpc.StatusCode],
) -> AsyncIterator[tuple[RequestContext, _Sender]]:
    """Check the API key, and yield the request with its caller. Turn an error of the block into the call's status."""
    metadata = metadata_of(context)
    async with observed_call(context, metadata, grpc_name(method), edge.observing) as observation:
        sender = _Sender(context, metadata, observation)
        try:
            caller = edge.keys.check(metadata)
            observation.key = caller.name
            request = _request_context(context, caller, observation, edge.default_timeout)
            if method.client_streaming:
                sender.received = ClientMessages(messages, context, metadata)
            yield request, sender
            await sender.drop_rest()
        except RequestError as error:
            observation.fail(error)
            code = codes.get(error.code, error.code)
            pushback = retry_pushback(error, _remaining(context, edge.default_timeout))
            await sender.abort(code, str(error), _details(error), pushback)
        except Exception as error:  # noqa: BLE001 - every request gets a response
            observation.fail(error)
            await sender.abort(
                grpc.StatusCode.INTERNAL, internal_error_message(observation.id), [_error_info("internal")]
            )
        finally:
            if sender.received is not None:
                sender.received.close()


def grpc_name(method: MethodDescriptor) -> str:
    """Return the name of a method as it is in the path of a call: `rerank.v1.Rerank/Rerank`."""
    return f"{method.containing_service.full_name}/{method.name}"


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
    return [*details, _error_info(error.reason)]


def _error_info(reason: str) -> Message:
    """Return the stable identifier of an error, in the form that google.rpc prescribes: UPPER_SNAKE_CASE."""
    info: Message = error_details_pb2.ErrorInfo(reason=reason.upper(), domain=_ERROR_DOMAIN)
    return info

"""Random calls, how they are made, and which of their outcomes are right."""

import asyncio
import math
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from torture.grpc_fuzz.case import CallCase, Sent
from torture.grpc_fuzz.damage import damaged
from torture.grpc_fuzz.messages import random_message
from torture.grpc_fuzz.methods import Method
from torture.grpc_fuzz.plain import plain_call
from torture.part import Outcome
from torture.values import TEXTS

SECONDS = 90.0
"""Time in which a call must end."""
_CALL_SECONDS, _WATCH_SECONDS = 20.0, 0.5
"""Deadlines."""
_AFTER_THE_END = "Internal error from Core"
"""Details of the status INTERNAL that grpc.aio makes up in the client if a message is written after the server has
ended the call, and before its status is read."""
_WRONG = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)
"""Statuses that no input causes: the model of the campaign never fails."""
_SHARE_OF_PLAIN = 0.1
_UNARY_RANKING = "/rerank.v1.Rerank/Rerank"
_NAMES = (
    *(
        "x-request-id",
        "x-accept-encoding",
        "authorization",
        "x-api-key",
        "traceparent",
        "user-agent",
        "x-forwarded-for",
    ),
    *(
        "forwarded",
        "grpc-previous-rpc-attempts",
        "lb-token",
        "x-y",
        "a" * 200,
        "grpc-tags-bin",
        "x-bin",
        "te2",
        "cookie",
    ),
)


def random_call(rng: Random, methods: list[Method]) -> CallCase:
    """Return a call of any method, or of an unknown one. A part of the calls is valid."""
    if rng.random() < _SHARE_OF_PLAIN and (plain := plain_call(rng, {method.path for method in methods})):
        return plain
    method = rng.choice(methods)
    if rng.random() < 0.1:
        method = next((each for each in methods if each.path == _UNARY_RANKING), method)
    messages = [_message(rng, method) for _ in range(_count(rng, method))]
    seconds = _WATCH_SECONDS if method.watches else _CALL_SECONDS
    case = CallCase(title="messages", path=method.path, messages=tuple(messages), timeout=seconds)
    for change in (_unknown_method, _deadline, _metadata, _cancel, _coding, _pauses):
        if rng.random() < 0.1:
            case = change(rng, case)
    return case


def _count(rng: Random, method: Method) -> int:
    if method.streams_requests:
        return rng.choice((0, 1, 1, 2, 3, 3, 5, 20))
    return rng.choice((1, 1, 1, 1, 1, 1, 0, 2))


def _message(rng: Random, method: Method) -> Sent:
    data = random_message(rng, method.request).SerializeToString()
    return Sent(damaged(rng, data) if rng.random() < 0.5 else data, times=1 if rng.random() < 0.95 else 20)


def _unknown_method(rng: Random, case: CallCase) -> CallCase:
    paths = (
        "/x.Y/Z",
        "/",
        "//",
        "/rerank.v1.Rerank",
        "/rerank.v1.Rerank/",
        "/rerank.v1.Rerank/rerank",
        "/" + "a" * 3000,
        "/\u00e9/x",
    )
    return replace(case, title="unknown method", path=rng.choice((*paths, case.path + "/", case.path.lower())))


def _deadline(rng: Random, case: CallCase) -> CallCase:
    return replace(case, title="deadline", timeout=rng.choice((0.0, 1e-9, 0.001, 0.01, 1.0)))


def _metadata(rng: Random, case: CallCase) -> CallCase:
    pairs: list[tuple[str, str | bytes]] = []
    for _ in range(rng.choice((1, 2, 5, 100))):
        name = rng.choice(_NAMES)
        value = rng.choice(TEXTS)[: rng.choice((20, 100, 5000))].encode("ascii", "replace").decode()
        printable = "".join(character for character in value if " " <= character <= "~")
        pairs.append((name, rng.randbytes(rng.choice((0, 10, 3000))) if name.endswith("-bin") else printable))
    return replace(case, title="metadata", metadata=tuple(pairs))


def _cancel(rng: Random, case: CallCase) -> CallCase:
    return replace(case, title="cancelled", cancel_after=rng.randrange(len(case.messages) + 1))


def _coding(rng: Random, case: CallCase) -> CallCase:
    return replace(case, title="compressed", coding=rng.choice((1, 2)))


def _pauses(rng: Random, case: CallCase) -> CallCase:
    messages = tuple(replace(sent, pause=rng.choice((0.0, 0.005, 0.02))) for sent in case.messages)
    return replace(case, title="with pauses", messages=messages, closes=rng.random() < 0.7)


async def try_call(channel: grpc.aio.Channel, case: CallCase, responses: dict[str, type[Message]]) -> Outcome:
    """Make a call, and judge its end."""
    call: Any = channel.stream_stream(case.path)(
        timeout=case.timeout,
        metadata=case.metadata or None,
        compression=grpc.Compression(case.coding),
    )
    received: list[bytes] = []
    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(_write(call, case), _read(call, received))
            code = await call.code()
            details = await call.details()
    except TimeoutError:
        call.cancel()
        return Outcome("no end", f"the call did not end within {SECONDS:g} s", case.as_json())
    if code is grpc.StatusCode.INTERNAL and details == _AFTER_THE_END:
        return Outcome("ended while the client wrote")
    problem = _problem(case, code, details, received, responses.get(case.path))
    return Outcome(code.name, problem, case.as_json() if problem else None)


async def _write(call: Any, case: CallCase) -> None:
    """Send the messages. The call may end meanwhile, which grpc.aio reports by errors of many classes."""
    with suppress(Exception, asyncio.CancelledError):
        for number, sent in enumerate(case.messages):
            if case.cancel_after == number:
                call.cancel()
                return
            for _ in range(sent.times):
                await call.write(sent.data)
            await asyncio.sleep(sent.pause)
        if case.closes and case.cancel_after is None:
            await call.done_writing()
        else:
            call.cancel()


async def _read(call: Any, received: list[bytes]) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        async for message in call:
            received.append(message)  # noqa: PERF401 - those that arrive before an error are kept


def _problem(
    case: CallCase, code: grpc.StatusCode, details: str, received: list[bytes], response: type[Message] | None
) -> str:
    if code in _WRONG:
        return f"the status is {code.name}: {details[:300]}"
    if case.plain and code is not grpc.StatusCode.OK:
        return f"a valid call got {code.name}: {details[:300]}"
    if case.plain and len(received) != 1:
        return f"a valid call got {len(received)} responses"
    if code is not grpc.StatusCode.OK or response is None:
        return ""
    for data in received:
        try:
            message: Any = response.FromString(data)
        except DecodeError:
            # reflection returns the request, whose groups may be as deep as a parser allows, one level deeper
            return "" if "ServerReflection" in case.path else f"the response is no {response.DESCRIPTOR.full_name}"
        if problem := _ranking_problem(message):
            return problem
    return ""


def _ranking_problem(message: Any) -> str:
    """Return why a ranking is wrong; empty if it is right, or if the message has none."""
    ranking = message.ranking if hasattr(message, "ranking") else message
    results = getattr(ranking, "results", None) or getattr(ranking, "ranks", None) or ()
    scores = [result.relevance_score if hasattr(result, "relevance_score") else result.score for result in results]
    if not all(map(math.isfinite, scores)):
        return f"a score is not finite: {scores[:10]}"
    return "" if scores == sorted(scores, reverse=True) else f"the results are not in order: {scores[:10]}"

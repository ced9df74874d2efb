"""Pauses of gRPC's own retry policies."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import grpc
import pytest

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.grpc.retry_pushback import RETRY_PUSHBACK, retry_pushback
from rerank_service.errors import DeadlineExceeded, NotReady, Overloaded, RateLimited, RequestError
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.quota import KeyLimits
from support.observed import observed
from support.running import Running, running

_PAGE = Path(__file__).parents[4] / "deploy" / "README.md"


def _options() -> list[tuple[str, Any]]:
    """Return the channel options of the service config that the page recommends."""
    (config,) = re.findall(r"```json\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    return [("grpc.service_config", json.dumps(json.loads(config))), ("grpc.use_local_subchannel_pool", 1)]


@pytest.mark.parametrize("error", [Overloaded("busy", retry_after=1.2345), RateLimited("limit", retry_after=1.2345)])
@pytest.mark.parametrize(("remaining", "value"), [(2.0, "1235"), (1.2, "-1"), (0.0, "-1")])
def test_pause_that_ends_in_time(error: RequestError, remaining: float, value: str) -> None:
    """A call that cannot be repeated in time is not repeated at all, so that the caller gets the reason."""
    assert retry_pushback(error, remaining) == ((RETRY_PUSHBACK, value),)


@pytest.mark.parametrize("error", [NotReady("draining"), DeadlineExceeded("too late"), RequestError("internal error")])
def test_other_errors_leave_the_choice_to_the_policy(error: RequestError) -> None:
    """A client sends a call to a draining server to another replica at once."""
    assert retry_pushback(error, 60.0) == ()


@pytest.mark.parametrize("seconds", [60.0, None])
async def test_service_config_repeats_a_call_after_an_overload(small_model: Bundle, seconds: float | None) -> None:
    """The stub gets its ranking on a later attempt, also without a deadline: that of the server is far enough."""
    async with (
        running(small_model, max_live_documents=1) as core,
        observed(core) as (edges, recorder),
        grpc.aio.insecure_channel(edges.address, options=_options()) as channel,
    ):
        core.score.hold()
        first = asyncio.create_task(edges.client.rerank("0", ["1"]))
        await core.score.started()
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(channel)
        second = stub.Rerank(pb.RerankRequest(query="0", documents=[pb.Document(text="1")]), timeout=seconds)
        assert (await recorder.next()).status == "RESOURCE_EXHAUSTED"
        core.score.release()
        await first
        assert len((await second).results) == 1


@pytest.mark.parametrize("seconds", [30.0, None])
async def test_caller_without_time_for_a_pause_gets_the_reason(core: Running, seconds: float | None) -> None:
    """The call is not repeated: the pause would exceed its deadline, or the default of the server."""
    keys = Keys(known=[KnownKey(digest("sesame"), Caller("search"), KeyLimits(requests_per_second=0.001))])
    async with (
        observed(core, keys=keys) as (edges, recorder),
        grpc.aio.insecure_channel(edges.address, options=_options()) as channel,
    ):
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(channel)
        request = pb.RerankRequest(query="0", documents=[pb.Document(text="1")])
        await stub.Rerank(request, metadata=(("x-api-key", "sesame"),))
        with pytest.raises(grpc.aio.AioRpcError, match="requests per second") as caught:
            await stub.Rerank(request, timeout=seconds, metadata=(("x-api-key", "sesame"),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [(await recorder.next()).status for _ in range(2)] == ["OK", "RESOURCE_EXHAUSTED"]
        assert recorder.empty

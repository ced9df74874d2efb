"""Ranking by commands: the wait for a server that never answers ends."""

import socket

import pytest

from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import OperatorError
from rerank_service.tools.ranking_call import rank
from rerank_service.tools.rest_failure import RestCallFailed
from rerank_service.tools.server_address import ServerAddress, server_address
from support.running import Served

_FEW, _MANY = ["1", "2"], ["1"] * 257


async def _rank(server: ServerAddress, documents: list[str], seconds: float | None = None) -> pb.RerankResponse:
    return await rank(
        server,
        "1",
        documents,
        api_key=None,
        seconds=seconds,
        model="",
        top_n=None,
        score_type=pb.SCORE_TYPE_UNSPECIFIED,
    )


async def test_silent_rest_server_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a deadline of the caller. The error names the address and the option."""
    monkeypatch.setattr("rerank_service.tools.ranking_call._FEW_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OperatorError) as caught:
            await _rank(server_address(url), _FEW)
    assert str(caught.value) == (
        f"{url}: no response after 50 ms: check that the server works, or give another limit with --timeout"
    )


async def test_grpc_server_that_hangs_ends_the_call(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection works, but the model does not respond."""
    monkeypatch.setattr("rerank_service.tools.ranking_call._FEW_SECONDS", 0.05)
    edges.core.score.hold()
    with pytest.raises(OperatorError, match=rf"^{edges.address}: no response after 50 ms: "):
        await _rank(server_address(edges.address), _FEW)
    edges.core.score.release()


async def test_deadline_of_the_caller_is_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be longer than the limit of calls without a deadline."""
    monkeypatch.setattr("rerank_service.tools.ranking_call._FEW_SECONDS", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = server_address(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(RestCallFailed, match=r"no response after 500 ms$"):
            await _rank(server, _FEW, seconds=0.5)


async def test_many_documents_over_rest_have_a_day(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gets this deadline, too: its default is that of a search."""
    monkeypatch.setattr("rerank_service.tools.ranking_call._MANY_SECONDS", 0.5)
    edges.core.score.hold()
    with pytest.raises(RestCallFailed) as caught:
        await _rank(server_address(str(edges.http.base_url)), _MANY)
    assert caught.value.status == 504
    edges.core.score.release()

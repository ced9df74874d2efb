"""Lone surrogates, as JavaScript's `slice` makes them: U+FFFD in every field, in each dialect and over gRPC."""

import json
from typing import Any

import grpc
import pytest

from rerank.tei import tei_pb2
from rerank.v1 import rerank_pb2 as pb
from support.http import post, works
from support.running import Served

LONE = "\ud83d"
_FIELD = b"\xed\xa0\xbd"
"""LONE in the bytes of protobufjs, with which gRPC for Node writes short strings."""


def _sent(body: dict[str, Any]) -> bytes:
    """Return JSON as `JSON.stringify` writes it: a lone surrogate is an escape."""
    return json.dumps(body).encode()


async def test_request_with_half_an_emoji_is_ranked(edges: Served) -> None:
    """The other documents keep their scores."""
    body = (
        rb'{"query":"how to update","documents":["Read the release notes first \ud83d","Bananas are yellow."],'
        rb'"return_documents":true}'
    )
    response = await post(edges, body)
    assert response.status_code == 200
    texts = {result["index"]: result["document"]["text"] for result in response.json()["results"]}
    assert texts == {0: "Read the release notes first \ufffd", 1: "Bananas are yellow."}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rerank", {"query": f"0 {LONE}", "documents": [f"1 {LONE}"], "model": "default", "user": LONE}),
        ("/v2/rerank", {"query": {"text": f"0 {LONE}"}, "documents": [{LONE: "1", "text": f"1 {LONE}"}]}),
        ("/v1/rerank", {"query": "0", "documents": [{"a": "1", "b": LONE, LONE: 1}], "rank_fields": ["a"]}),
        ("/v1/rerank", {"query": "0", "documents": [{LONE: "1"}], "rank_fields": [LONE]}),
        ("/v1/models/rerank", {"query": f"0 {LONE}", "documents": [f"1 {LONE}"]}),
        ("/infinity/rerank", {"query": f"0 {LONE}", "documents": [f"1 {LONE}"]}),
        ("/rerank", {"query": f"0 {LONE}", "texts": [f"1 {LONE}"], "return_text": True}),
        ("/v1/reranking", {"query": f"0 {LONE}", "input": [f"1 {LONE}"], "return_input": True}),
        ("/v1/ranking", {"query": {"text": f"0 {LONE}"}, "passages": [{"text": f"1 {LONE}"}]}),
        ("/score", {"text_1": f"0 {LONE}", "text_2": [f"1 {LONE}"]}),
        (
            "/api/v1/services/rerank/text-rerank/text-rerank",
            {"model": "default", "input": {"query": f"0 {LONE}", "documents": [f"1 {LONE}"]}, "parameters": {}},
        ),
    ],
)
async def test_every_dialect_accepts_lone_surrogates(edges: Served, path: str, body: dict[str, Any]) -> None:
    """Escapes and the bytes of CESU-8 are accepted in keys, and in fields that are ranked, not ranked or unknown."""
    escaped = await post(edges, _sent(body), path)
    raw = await post(edges, json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"), path)
    assert (escaped.status_code, raw.status_code) == (200, 200), escaped.text
    assert await works(edges)


async def test_whole_object_is_returned_with_the_replacement_character(edges: Served) -> None:
    """Also in the fields and keys that are not ranked."""
    body = {"query": "0", "documents": [{"a": "1", LONE: LONE}], "rank_fields": ["a"], "return_documents": True}
    response = await post(edges, _sent(body))
    assert response.json()["results"][0]["document"]["\ufffd"] == "\ufffd"


async def test_unknown_model_is_named_with_the_replacement_character(edges: Served) -> None:
    """The status is 404, not 400."""
    response = await post(edges, _sent({"query": "0", "documents": ["1"], "model": f"m{LONE}"}))
    assert (response.status_code, "m\ufffd" in response.json()["message"]) == (404, True)


@pytest.mark.parametrize("text", [b"caf\xe9", b"\xe4\xb8"])
async def test_body_in_another_encoding_is_rejected_with_its_position(edges: Served, text: bytes) -> None:
    """Latin-1, and a character that was cut inside its bytes."""
    response = await post(edges, b'{"query": "' + text + b'"}')
    assert response.status_code == 400
    assert "the text is not UTF-8, at byte 1" in response.json()["message"]


async def test_json_documents_of_grpc_accept_lone_surrogates(edges: Served) -> None:
    """The text that is scored has U+FFFD; the returned document is unchanged."""
    sent = pb.Document(json=_sent({"text": f"1 {LONE}", LONE: "2"}).decode())
    response = await edges.client.rerank("0", [sent], return_documents=True)
    assert response.results[0].document == sent


def _with_surrogates(message: Any) -> bytes:
    """Return a message with the bytes of a lone surrogate in place of each U+FFFD, as protobufjs writes it."""
    data: bytes = message.SerializeToString()
    return data.replace("\ufffd".encode(), _FIELD)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "/rerank.v1.Rerank/Rerank",
            pb.RerankRequest(
                query="0 \ufffd",
                documents=[pb.Document(text="1 \ufffd", id="\ufffd"), pb.Document(json='{"a": "2 \ufffd"}')],
            ),
        ),
        ("/tei.v1.Rerank/Rerank", tei_pb2.RerankRequest(query="0 \ufffd", texts=["1 \ufffd"])),
    ],
    ids=["rerank.v1", "tei.v1"],
)
async def test_strings_of_node_clients_are_repaired(edges: Served, method: str, message: Any) -> None:
    """The parser of protobuf rejects the bytes of a surrogate, and with them the whole message."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        sent: Any = _with_surrogates(message)
        assert await channel.unary_unary(method)(sent)


async def test_ids_of_node_clients_are_returned_with_the_replacement_character(edges: Served) -> None:
    """In a stream, too."""
    header = pb.RerankStreamRequest(header=pb.RerankHeader(request=pb.RerankRequest(query="0")))
    chunk = pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=[pb.Document(text="1", id="a\ufffd")]))
    async with grpc.aio.insecure_channel(edges.address) as channel:
        call: Any = channel.stream_stream(
            "/rerank.v1.Rerank/RerankStream", response_deserializer=pb.RerankStreamResponse.FromString
        )
        responses = [response async for response in call(map(_with_surrogates, (header, chunk)))]
    assert responses[-1].ranking.results[0].id == "a\ufffd"

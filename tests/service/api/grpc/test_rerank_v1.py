"""The gRPC edge over a real port: answers, errors with their details, streams, health, reflection."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from rerank.client import AsyncRerankClient, RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.auth import Caller, Keys, KnownKey, digest
from rerank_service.api.grpc.messages import MessageReader, stream_responses_from
from rerank_service.api.http.documents import JsonReader
from rerank_service.encoding.object_text import MAX_DEPTH
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import MAX_ID_CHARS, Document, SentDocument
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import Timing, Usage
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff
from support.limits import request_limits
from support.running import MAX_MESSAGE_BYTES, Running, Served, running, served
from support.small import BOOM, NAN

METHOD = "/rerank.v1.Rerank/Rerank"
STREAM = "/rerank.v1.Rerank/RerankStream"


def details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The rich status of an error; empty where it has none."""
    packed = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    return status_pb2.Status.FromString(packed)


def violation(error: grpc.aio.AioRpcError) -> error_details_pb2.BadRequest.FieldViolation:
    """The field that an error names."""
    bad_request = error_details_pb2.BadRequest()
    assert details(error).details[0].Unpack(bad_request)
    return bad_request.field_violations[0]


async def test_a_request_is_ranked(edges: Served) -> None:
    """Order, indexes, ids, scores, usage and timing arrive."""
    documents = [pb.Document(text="1", id="a"), pb.Document(text="0", id=""), pb.Document(text="2")]
    response = await edges.client.rerank("0", documents, top_n=2)
    assert [(one.index, one.logit) for one in response.results] == [(2, 2.0), (0, 1.0)]
    assert [one.id if one.HasField("id") else None for one in response.results] == [None, "a"]
    assert response.results[0].relevance_score == pytest.approx(0.8807970779778823)
    assert (response.model, response.usage.pairs, bool(response.id)) == ("small", 3, True)
    assert response.timing.total.ToNanoseconds() >= response.timing.inference.ToNanoseconds() > 0
    assert not response.results[0].HasField("document")


async def test_raw_scores_and_min_score(edges: Served) -> None:
    """min_score is compared with the score of the type asked for, before top_n."""
    response = await edges.client.rerank("0", ["1", "2", "3"], score_type=pb.SCORE_TYPE_RAW, min_score=2, top_n=1)
    assert [one.relevance_score for one in response.results] == [3.0]
    response = await edges.client.rerank("0", ["1", "2", "3"], min_score=0.9)
    assert [one.index for one in response.results] == [2]


async def test_documents_come_back_as_they_were_sent(edges: Served) -> None:
    """Each in the form that it had, and whether it was cut."""
    sent = [pb.Document(text="5"), pb.Document(json='{"b": "3", "a": "1"}'), pb.Document(text="1 " * 40)]
    struct = pb.Document()
    json_format.ParseDict({"n": "1"}, struct.object)
    response = await edges.client.rerank("0", [*sent, struct], return_documents=True, max_tokens_per_doc=30)
    for result in response.results:
        assert result.document == [*sent, struct][result.index]
        assert result.truncated == (result.index == 2)


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=6), JSON, max_size=5).filter(
        lambda value: any(part is not None for part in value.values())
    )
)
def test_the_same_object_is_the_same_text_by_every_way(value: dict[str, object]) -> None:
    """gRPC `json` and REST agree to the letter; a Struct is the same with its keys sorted, all the way down."""
    text = pb.Document(json=json.dumps(value))
    struct = pb.Document()
    json_format.ParseDict(value, struct.object)
    by_json, by_struct = (
        MessageReader(pb.RerankRequest()).read(SentDocument(one, 0), "documents[0]").text for one in (text, struct)
    )
    assert by_json == JsonReader(()).read(SentDocument(value, 0), "documents[0]").text
    assert by_struct == JsonReader(()).read(SentDocument(_sorted(value), 0), "documents[0]").text


def _sorted(value: object) -> object:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(item) for item in value]
        case _:
            return value


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (pb.RerankRequest(documents=[pb.Document(text="1")]), "query", "must not be empty"),
        (pb.RerankRequest(query="0"), "documents", "must not be empty"),
        (pb.RerankRequest(query="0", documents=[pb.Document(text="1"), pb.Document()]), "documents[1]", "no content"),
        (pb.RerankRequest(query="0", documents=[pb.Document(json="{}")]), "documents[0]", "no field"),
        (pb.RerankRequest(query="0", documents=[pb.Document(json="[1]")]), "documents[0]", "JSON object"),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(json='{"a": "1"}')], rank_fields=["b"]),
            "documents[0]",
            "none of the rank_fields b",
        ),
        (pb.RerankRequest(query="0", documents=[pb.Document(text="1")], top_n=0), "top_n", "at least 1"),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(text="1", id="i" * (MAX_ID_CHARS + 1))]),
            "documents[0].id",
            "at most 1,024",
        ),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(text="1")], max_tokens_per_doc=-1),
            "max_tokens_per_doc",
            "at least 1",
        ),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(text="1")], score_type=pb.ScoreType.ValueType(9)),
            "score_type",
            "no value 9",
        ),
        (pb.RerankRequest(query="0 " * 40, documents=[pb.Document(text="1")]), "query", "leaves no room"),
    ],
)
async def test_a_wrong_field_is_named(edges: Served, request_: pb.RerankRequest, field: str, words: str) -> None:
    """INVALID_ARGUMENT with the field in google.rpc.BadRequest; the next request works."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Rerank(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violation(caught.value).field == field
    assert words in violation(caught.value).description
    assert len((await edges.client.rerank("0", ["1"])).results) == 1


async def test_an_unknown_model_is_not_found(edges: Served) -> None:
    """The message lists what is served."""
    with pytest.raises(grpc.aio.AioRpcError, match="served: small") as caught:
        await edges.client.rerank("0", ["1"], model="other")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("word", [NAN, BOOM])
async def test_a_document_on_which_the_model_fails_is_named(edges: Served, word: str) -> None:
    """INTERNAL with the index; the next request works."""
    with pytest.raises(grpc.aio.AioRpcError, match=r"documents\[1\]") as caught:
        await edges.client.rerank("0", ["1", word, "2"])
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert len((await edges.client.rerank("0", ["1"])).results) == 1


@pytest.mark.parametrize("method", [METHOD, STREAM])
async def test_bytes_that_are_no_message_are_invalid(edges: Served, method: str) -> None:
    """grpc.aio by itself would answer UNKNOWN."""
    garbage: Any = b"\xff\xff\xff"
    async with grpc.aio.insecure_channel(edges.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="these bytes are no") as caught:
            if method == METHOD:
                await channel.unary_unary(method)(garbage)
            else:
                await channel.stream_stream(method)(iter([garbage])).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_over_the_limit_is_refused_without_retry_info(edges: Served) -> None:
    """The library's own answer: trying again does not help."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edges.client.rerank("0", ["1 " * MAX_MESSAGE_BYTES])
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not details(caught.value).details


async def test_a_full_server_says_when_to_return(small_model: Bundle) -> None:
    """RESOURCE_EXHAUSTED with google.rpc.RetryInfo."""
    async with running(small_model, max_live_documents=1) as core, served(core) as edges:
        core.score.hold()
        first = asyncio.create_task(edges.client.rerank("0", ["1"]))
        await core.score.started()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edges.client.rerank("0", ["1"])
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert details(caught.value).details[0].Unpack(retry)
        assert retry.retry_delay.ToNanoseconds() > 0
        core.score.release()
        await first


async def test_a_draining_server_is_unavailable(edges: Served) -> None:
    """So that a client goes to another replica."""
    edges.core.admission.close()
    with pytest.raises(grpc.aio.AioRpcError, match="draining") as caught:
        await edges.client.rerank("0", ["1"])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def _gone(core: Running) -> None:
    """Wait until nothing is left of any request."""
    while not core.idle():
        await asyncio.sleep(0.001)


async def test_a_client_that_cancels_leaves_nothing(edges: Served) -> None:
    """The request leaves the queue while its first batch still runs."""
    edges.core.score.hold()
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    call = stub.Rerank(pb.RerankRequest(query="0", documents=[pb.Document(text=str(n)) for n in range(99)]))
    await edges.core.score.started()
    call.cancel()
    await _gone(edges.core)


async def test_a_call_past_its_deadline_leaves_nothing(edges: Served) -> None:
    """The client sees DEADLINE_EXCEEDED, the server is free."""
    edges.core.score.hold()
    async with AsyncRerankClient(edges.address, timeout=0.2) as hasty:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await hasty.rerank("0", ["1"])
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await _gone(edges.core)


async def test_keys_are_asked_for(core: Running) -> None:
    """A wrong key or none is UNAUTHENTICATED; health needs none."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        for client in (edges.client, AsyncRerankClient(edges.address, api_key="wrong")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.rerank("0", ["1"])
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await client.close()
        async with AsyncRerankClient(edges.address, api_key="sesame") as client:
            assert len((await client.rerank("0", ["1"])).results) == 1
            health = health_pb2_grpc.HealthStub(client._channel)
            await health.Check(health_pb2.HealthCheckRequest(service="live"))


async def test_the_weight_of_a_key_reaches_the_queue(core: Running) -> None:
    """Of unary calls and of streams, over gRPC and over REST."""
    keys = Keys(known=[KnownKey(digest("sesame"), Caller("search", 3.0))])
    queue = core.model.scheduler._queue
    async with served(core, keys=keys) as edges, AsyncRerankClient(edges.address, api_key="sesame") as client:
        body = {"query": "0", "documents": ["1"]}
        for ask in (
            lambda: client.rerank("0", ["1"]),
            lambda: client.rerank_stream("0", ["1"]),
            lambda: edges.http.post("/v2/rerank", json=body, headers={"x-api-key": "sesame"}),
        ):
            core.score.hold()
            call = asyncio.ensure_future(ask())
            await core.score.started()
            assert [share.weight for share in queue._shares.values()] == [3.0]
            core.score.release()
            await call
            await _gone(core)


async def test_a_request_id_goes_through(edges: Served) -> None:
    """The one that was sent is the one that answers."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    request = pb.RerankRequest(query="0", documents=[pb.Document(text="1")])
    assert (await stub.Rerank(request, metadata=(("x-request-id", "mine"),))).id == "mine"


def _stream(*parts: pb.RerankHeader | pb.DocumentChunk) -> Iterable[pb.RerankStreamRequest]:
    return [
        pb.RerankStreamRequest(header=part)
        if isinstance(part, pb.RerankHeader)
        else pb.RerankStreamRequest(documents=part)
        for part in parts
    ]


HEADER = pb.RerankHeader(request=pb.RerankRequest(query="0"))
CHUNK = pb.DocumentChunk(documents=[pb.Document(text="1")])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "first message of a stream must be its header"),
        ((CHUNK,), "first message of a stream must be its header"),
        ((HEADER, CHUNK, HEADER), "must hold documents"),
        ((HEADER,), "documents must not be empty"),
        ((HEADER, pb.DocumentChunk()), "documents must not be empty"),
        ((HEADER, CHUNK, pb.DocumentChunk(documents=[pb.Document()])), r"documents\[1\]"),
        ((pb.RerankHeader(), CHUNK), "query must not be empty"),
    ],
)
async def test_a_stream_out_of_order_is_refused(
    edges: Served, parts: tuple[pb.RerankHeader | pb.DocumentChunk, ...], words: str
) -> None:
    """INVALID_ARGUMENT that says what is missing."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        async for _ in stub.RerankStream(iter(_stream(*parts))):
            pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert edges.core.idle()


async def test_a_stream_counts_the_headers_own_documents_first(edges: Served) -> None:
    """And then those of each message."""
    header = pb.RerankHeader(request=pb.RerankRequest(query="0", documents=[pb.Document(text="1")]))
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    chunk = pb.DocumentChunk(documents=[pb.Document(text="3"), pb.Document(text="2")])
    responses = [one async for one in stub.RerankStream(iter(_stream(header, chunk, CHUNK)))]
    assert [one.last for one in responses] == [True]
    assert [one.index for one in responses[0].ranking.results] == [1, 2, 0, 3]


async def test_an_empty_chunk_is_a_chunk(edges: Served) -> None:
    """Any number of documents may come in a message, none too."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    empty = pb.DocumentChunk()
    responses = [one async for one in stub.RerankStream(iter(_stream(HEADER, empty, CHUNK, empty)))]
    assert [one.index for one in responses[0].ranking.results] == [0]


async def test_a_stream_without_a_header_ends_by_its_deadline(core: Running) -> None:
    """The server's own, where the client sets none."""
    async with served(core, default_timeout=0.05) as edges:
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
        call = stub.RerankStream()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_long_echo_does_not_lose_the_status(edges: Served) -> None:
    """Statuses travel in headers, of which clients take 8 KiB."""
    for options in ({"model": "m" * 5000}, {"rank_fields": ["f" * 100] * 800}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edges.client.rerank("0", [pb.Document(json='{"a": "1"}')], **options)
        assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


def _nested(levels: int) -> pb.Document:
    value: dict[str, Any] = {"leaf": "1"}
    for _ in range(levels - 1):
        value = {"a": value}
    document = pb.Document()
    document.object.update(value)
    return document


async def test_a_struct_that_was_taken_can_be_given_back(edges: Served) -> None:
    """Nested as deep as it may be; one level more is refused."""
    response = await edges.client.rerank("0", [_nested(MAX_DEPTH)], return_documents=True)
    assert response.results[0].document == _nested(MAX_DEPTH)
    with pytest.raises(grpc.aio.AioRpcError, match="levels deep"):
        await edges.client.rerank("0", [_nested(MAX_DEPTH + 1)])


async def test_partial_scores_come_ahead_of_the_ranking(edges: Served) -> None:
    """Scores of what has been sent arrive while the stream is still open."""
    told: asyncio.Queue[pb.PartialScore] = asyncio.Queue()

    async def documents() -> AsyncIterator[str | pb.Document]:
        yield pb.Document(text="5", id="x")
        first = await told.get()
        assert (first.index, first.id, first.logit) == (0, "x", 5.0)
        yield "7"

    def tell(scores: pb.PartialScores) -> None:
        for score in scores.scores:
            told.put_nowait(score)

    ranking = await edges.client.rerank_stream("0", documents(), on_scores=tell)
    assert [one.index for one in ranking.results] == [1, 0]
    assert (await told.get()).index == 1


def test_a_client_that_writes_everything_before_it_reads_is_answered(small_model: Bundle) -> None:
    """80,000 documents through a window of 256, a stock client, a ranking over its 4 MiB: no deadlock."""
    count = 80_000

    async def serve_and_ask() -> list[pb.RerankStreamResponse]:
        limits = request_limits(room=256)
        async with running(small_model, limits=limits, lanes=2) as core, served(core) as edges:
            return await asyncio.to_thread(_write_then_read, edges.address, count)

    responses = asyncio.run(serve_and_ask())
    results = [result for response in responses for result in response.ranking.results]
    assert sum(response.ByteSize() for response in responses) > 4 * 1024 * 1024
    assert max(response.ByteSize() for response in responses) < 1024 * 1024
    assert [one.last for one in responses] == [False] * (len(responses) - 1) + [True]
    assert sorted(result.index for result in results) == list(range(count))
    assert responses[-1].ranking.usage.pairs == count
    assert [result.logit for result in results[:3]] == [205.0, 204.0, 204.0]


def _write_then_read(address: str, count: int) -> list[pb.RerankStreamResponse]:
    """Nothing is read before the last document is written."""
    written = asyncio.Event()

    def messages() -> Iterable[pb.RerankStreamRequest]:
        yield pb.RerankStreamRequest(header=HEADER)
        for start in range(0, count, 500):
            chunk = [
                pb.Document(
                    text=f"{n % 100} {n // 100 % 100} {n // 10_000}", id=f"the caller's own id of document number {n}"
                )
                for n in range(start, start + 500)
            ]
            yield pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=chunk))
        written.set()

    with grpc.insecure_channel(address) as channel:
        call = pb_grpc.RerankStub(channel).RerankStream(iter(messages()))
        call.initial_metadata()
        assert written.is_set()
        return list(call)


async def test_partial_scores_fit_a_stock_client_whatever_the_ids(edges: Served) -> None:
    """Copies are all told at once when their original is scored."""
    documents = [pb.Document(text="1", id="é" * MAX_ID_CHARS)] * 250
    chunks = [pb.DocumentChunk(documents=documents)] * 9
    header = pb.RerankHeader(request=pb.RerankRequest(query="0", top_n=1), partial_scores=True)
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    edges.core.score.hold()
    call = stub.RerankStream(iter(_stream(header, *chunks)))
    await edges.core.score.started()
    edges.core.score.release()
    sizes = [response.ByteSize() async for response in call]
    assert max(sizes) < 1024 * 1024
    assert sum(sizes) > 4 * 1024 * 1024


def _soon(deadline: Deadline) -> Cutoff:
    """A cutoff that comes by its own timer, long before the deadline that it is told of."""
    return Cutoff(Deadline(deadline.at - 59.9))


async def test_a_stream_may_take_a_part_of_its_ranking(core: Running) -> None:
    """The model is held: both documents are told as not scored, and the call ends well while the client waits to
    send more. Without partial_ok it would go on."""
    header = pb.RerankHeader(request=pb.RerankRequest(query="0"), partial_ok=True)
    chunk = pb.DocumentChunk(documents=[pb.Document(text="1"), pb.Document(text="2")])
    core.score.hold()
    async with served(core, cutoff=_soon) as edges:
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
        call = stub.RerankStream()
        for message in _stream(header, chunk):
            await call.write(message)
        response = await call.read()
        assert isinstance(response, pb.RerankStreamResponse)
        assert (response.last, response.ranking.partial, response.ranking.received) == (True, True, 2)
        assert list(response.ranking.unscored) == [pb.IndexRange(start=0, end=2)]
        assert not response.ranking.results
        assert await call.read() == grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        await _gone(core)


def test_a_part_of_a_ranking_fits_a_stock_client() -> None:
    """The worst there can be: of a million documents every other one is missing."""
    count = 1_000_000
    board = Scoreboard(RerankRequest(query="q"), Activation.SIGMOID)
    for index in range(0, count, 2):
        board.add(Document(""), truncated=False)
        board.add(Document(""), truncated=False)
        board.settle(index, 1.0)
    usage, timing = Usage(), Timing(queue=0, tokenize=0, inference=0, total=0)
    missing = board.missing(count + 5)
    ranking = Ranking(model="m", order=board.order(), usage=usage, timing=timing, board=board, missing=missing)
    responses = list(stream_responses_from(ranking, "id"))
    assert max(response.ByteSize() for response in responses) < 1024 * 1024
    assert [one.last for one in responses] == [False] * (len(responses) - 1) + [True]
    assert all(one.ranking.partial for one in responses)
    whole = pb.RerankResponse()
    for response in responses:
        whole.MergeFrom(response.ranking)
    assert (len(whole.results), whole.received, whole.id) == (count // 2, count + 5, "id")
    unscored = [(one.start, one.end) for one in whole.unscored]
    assert unscored[:2] == [(1, 2), (3, 4)]
    assert (unscored[-1], len(unscored)) == ((count - 1, count + 5), count // 2)


async def test_models_are_listed_and_found(edges: Served) -> None:
    """With their limits."""
    (model,) = await edges.client.models()
    assert (model.name, model.max_tokens, model.max_documents, model.ready) == ("small", 32, 10_000, True)
    assert (model.provider, model.precision, len(model.digest)) == ("CPUExecutionProvider", "fp32", 64)
    assert model.max_message_bytes == MAX_MESSAGE_BYTES
    assert model.verdict == "not verified", "nobody has exported it"
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    assert await stub.GetModel(pb.GetModelRequest(name="default")) == model
    with pytest.raises(grpc.aio.AioRpcError, match="served: small"):
        await stub.GetModel(pb.GetModelRequest(name="other"))


async def test_readiness_and_liveness_are_told_apart(edges: Served) -> None:
    """A draining pod is not ready, and not to be killed."""
    channel = grpc.aio.insecure_channel(edges.address)  # the client's own would ask for health by itself
    health = health_pb2_grpc.HealthStub(channel)

    async def status(service: str) -> int:
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert [await status(name) for name in ("", "rerank.v1.Rerank", "live")] == [serving] * 3
    await edges.grpc.set_ready(ready=False)
    assert [await status(name) for name in ("", "rerank.v1.Rerank", "live")] == [not_serving, not_serving, serving]
    await channel.close()


async def test_reflection_lists_the_services(edges: Served) -> None:
    """grpcurl needs no proto file."""
    stub = reflection_pb2_grpc.ServerReflectionStub(edges.client._channel)
    answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await anext(aiter(answers))
    names = {service.name for service in answer.list_services_response.service}
    assert {"rerank.v1.Rerank", "grpc.health.v1.Health"} <= names


def test_the_blocking_client_does_the_same(small_model: Bundle) -> None:
    """Unary, stream, models."""

    async def serve_and_ask() -> None:
        async with running(small_model) as core, served(core) as edges:
            await asyncio.to_thread(_ask, edges.address)

    def _ask(address: str) -> None:
        told: list[int] = []
        with RerankClient(address) as client:
            assert [one.index for one in client.rerank("0", ["1", "2"]).results] == [1, 0]
            ranking = client.rerank_stream(
                "0",
                map(str, range(99)),
                top_n=1,
                on_scores=lambda scores: told.extend(one.index for one in scores.scores),
            )
            assert [one.index for one in ranking.results] == [98]
            assert sorted(told) == list(range(99))
            assert [model.name for model in client.models()] == ["small"]

    asyncio.run(serve_and_ask())

"""docs/examples/rerank_llamaindex.py: LlamaIndex's interface, with the real package."""

import asyncio
import pickle
from collections.abc import Callable
from contextlib import aclosing, closing
from copy import deepcopy
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from rerank_llamaindex import RerankPostprocessor

from clients.cases import DOCUMENTS, QUERY, expect
from clients.harness import Harness
from clients.setups import client_setup
from rerank.client import RerankClient
from rerank.errors import DeadlineExceeded, InvalidArgument, NotFound, Unauthenticated, Unavailable

Rank = Callable[[RerankPostprocessor, list[NodeWithScore], str], list[NodeWithScore]]
RETRIEVAL_SCORE = 0.5


@client_setup(
    "llama-index-core",
    dialect="rerank.v1",
    note="adapter [rerank_llamaindex.py](examples/rerank_llamaindex.py); `H` is `host:port` of gRPC",
)
def postprocessor(H: str, k: str, M: str) -> RerankPostprocessor:
    return RerankPostprocessor(address=H, api_key=k, model=M)


def at(harness: Harness, **fields: Any) -> RerankPostprocessor:
    return harness.at(postprocessor, H=harness.grpc, k=harness.key).model_copy(update=fields)


def blocking(made: RerankPostprocessor, nodes: list[NodeWithScore], query: str) -> list[NodeWithScore]:
    with closing(made):
        return made.postprocess_nodes(nodes, query_str=query)


def asynchronous(made: RerankPostprocessor, nodes: list[NodeWithScore], query: str) -> list[NodeWithScore]:
    """Rank in an event loop of its own."""

    async def rank() -> list[NodeWithScore]:
        async with aclosing(made):
            return await made.apostprocess_nodes(nodes, query_bundle=QueryBundle(query))

    return asyncio.run(rank())


@pytest.fixture(params=[blocking, asynchronous])
def rank(request: pytest.FixtureRequest) -> Rank:
    """Return both ways to call."""
    ranked: Rank = request.param
    return ranked


def candidates() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(id_=str(position), text=text, metadata={"page": position}), score=RETRIEVAL_SCORE)
        for position, text in enumerate(DOCUMENTS)
    ]


def ranking(nodes: list[NodeWithScore]) -> list[tuple[int, Any]]:
    return [(int(each.node.node_id), each.score) for each in nodes]


def test_ids_metadata_and_scores(harness: Harness, rank: Rank) -> None:
    """The given nodes stay as they are."""
    given = candidates()
    ranked = rank(at(harness), given, QUERY)
    expect(ranking(ranked))
    assert [each.node.metadata for each in ranked] == [{"page": index} for index, _ in ranking(ranked)]
    assert given == candidates()


def test_top_n_and_threshold(harness: Harness, rank: Rank) -> None:
    """The threshold is inclusive."""
    expect(ranking(rank(at(harness, top_n=2), candidates(), QUERY)), top_n=2)
    second = rank(at(harness), candidates(), QUERY)[1].score
    expect(ranking(rank(at(harness, score_threshold=second), candidates(), QUERY)), top_n=2)


def test_the_retrieval_score_can_be_kept(harness: Harness, rank: Rank) -> None:
    """Under the name that LlamaIndex's own rerankers use."""
    ranked = rank(at(harness, keep_retrieval_score=True), candidates(), QUERY)
    assert [each.node.metadata["retrieval_score"] for each in ranked] == [RETRIEVAL_SCORE] * len(DOCUMENTS)


def cities(**fields: Any) -> list[NodeWithScore]:
    """Return nodes that differ only in their metadata."""
    names = ["Rome, Italy", "Paris, France", "Bern, Switzerland"]
    return [
        NodeWithScore(node=TextNode(id_=str(position), text="It is a capital.", metadata={"city": name}, **fields))
        for position, name in enumerate(names)
    ]


def test_metadata_is_ranked_as_the_mode_says(harness: Harness, rank: Rank) -> None:
    """By default, keys that a node excludes from embedding do not count."""

    def scores(nodes: list[NodeWithScore], **fields: Any) -> set[float]:
        return {score for _, score in ranking(rank(at(harness, **fields), nodes, QUERY))}

    assert ranking(rank(at(harness), cities(), QUERY))[0][0] == 1
    assert len(scores(cities(excluded_embed_metadata_keys=["city"]))) == 1
    assert len(scores(cities(excluded_embed_metadata_keys=["city"]), metadata_mode=MetadataMode.ALL)) == len(DOCUMENTS)
    assert len(scores(cities(), metadata_mode=MetadataMode.NONE)) == 1


def test_no_nodes_need_no_server(rank: Rank) -> None:
    """Nothing listens at this address."""
    assert rank(RerankPostprocessor(address="127.0.0.1:1"), [], QUERY) == []


def test_errors_are_those_of_the_client(harness: Harness, rank: Rank) -> None:
    """They are not wrapped."""
    with pytest.raises(InvalidArgument) as caught:
        rank(at(harness), candidates(), "")
    assert caught.value.field == "query"
    with pytest.raises(NotFound):
        rank(at(harness, model="no-such-model"), candidates(), QUERY)
    with pytest.raises(Unauthenticated):
        rank(RerankPostprocessor(address=harness.grpc, api_key="wrong"), candidates(), QUERY)
    with pytest.raises(DeadlineExceeded):
        rank(at(harness, client_options={"timeout": 1e-9}), candidates(), QUERY)


def test_a_query_is_required() -> None:
    """LlamaIndex lets callers leave it out."""
    with pytest.raises(ValueError, match="query_str"):
        RerankPostprocessor().postprocess_nodes(candidates())
    with pytest.raises(ValueError, match="query_str"):
        asyncio.run(RerankPostprocessor().apostprocess_nodes(candidates()))


def test_one_postprocessor_serves_several_event_loops(harness: Harness) -> None:
    """Its connections are not closed between them."""
    made = at(harness)
    for _ in range(2):
        expect(ranking(asyncio.run(made.apostprocess_nodes(candidates(), query_str=QUERY))))
    expect(ranking(asynchronous(made, candidates(), QUERY)))


def test_a_given_client_is_used_and_stays_open(harness: Harness, rank: Rank) -> None:
    """The caller closes it."""
    with RerankClient(harness.grpc, api_key=harness.key) as client:
        made = RerankPostprocessor(address="127.0.0.1:1", client=client)
        for _ in range(2):
            expect(ranking(rank(made, candidates(), QUERY)))


def test_serialized_data_has_all_but_the_key(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment again."""
    monkeypatch.setenv("RERANK_API_KEY", harness.key)
    made = RerankPostprocessor(address=harness.grpc, top_n=2, metadata_mode=MetadataMode.NONE)
    data = made.to_json()
    assert harness.key not in data
    assert harness.key not in repr(made)
    read = RerankPostprocessor.from_json(data)
    assert read.to_json() == data
    expect(ranking(blocking(read, candidates(), QUERY)), top_n=2)


class Events(BaseEventHandler):
    """Collects the events of rankings."""

    seen: list[Any] = []  # noqa: RUF012 - a pydantic field

    def handle(self, event: Any, **_: Any) -> None:
        if isinstance(event, ReRankStartEvent | ReRankEndEvent):
            self.seen.append(event)


def test_callbacks_and_instrumentation_see_the_ranking(harness: Harness, rank: Rank) -> None:
    """Tracing tools of LlamaIndex show these events."""
    debug, events = LlamaDebugHandler(print_trace_on_end=False), Events()
    get_dispatcher().add_event_handler(events)
    try:
        ranked = rank(at(harness, callback_manager=CallbackManager([debug]), top_n=2), candidates(), QUERY)
    finally:
        get_dispatcher().event_handlers.remove(events)
    ((begin, end),) = debug.get_event_pairs(CBEventType.RERANKING)
    assert (begin.payload[EventPayload.TOP_K], begin.payload[EventPayload.QUERY_STR]) == (2, QUERY)
    assert end.payload[EventPayload.NODES] == ranked
    first, last = events.seen
    assert (first.top_n, first.model_name, len(first.nodes)) == (2, "starter", len(DOCUMENTS))
    assert last.nodes == ranked


def test_copies_have_connections_of_their_own(harness: Harness) -> None:
    """A worker process gets a pickled one."""
    made = at(harness)
    made.postprocess_nodes(candidates(), query_str=QUERY)
    copies = [deepcopy(made), pickle.loads(pickle.dumps(made))]
    made.close()
    for each in copies:
        expect(ranking(blocking(each, candidates(), QUERY)))


def test_a_changed_address_is_used(harness: Harness, rank: Rank) -> None:
    """Also after a call, and in a copy, which shares the open connections."""
    made = at(harness)
    expect(ranking(made.postprocess_nodes(candidates(), query_str=QUERY)))
    elsewhere = made.model_copy(update={"address": "127.0.0.1:9", "client_options": {"retries": 0}})
    with pytest.raises(Unavailable):
        rank(elsewhere, candidates(), QUERY)
    expect(ranking(rank(made, candidates(), QUERY)))
    made.address, made.client_options = elsewhere.address, elsewhere.client_options
    with pytest.raises(Unavailable):
        rank(made, candidates(), QUERY)


class Retriever(BaseRetriever):
    """A first stage that finds all nodes."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return candidates()


def test_in_a_query_engine(harness: Harness) -> None:
    """Both ways to call it."""
    made = at(harness, top_n=2)
    engine = RetrieverQueryEngine.from_args(Retriever(), llm=MockLLM(), node_postprocessors=[made])
    expect(ranking(engine.query(QUERY).source_nodes), top_n=2)
    expect(ranking(asyncio.run(engine.aquery(QUERY)).source_nodes), top_n=2)
    made.close()

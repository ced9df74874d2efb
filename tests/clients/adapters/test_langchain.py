"""docs/examples/rerank_langchain.py: LangChain's interface, with the real package."""

import asyncio
import pickle
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from copy import deepcopy
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.prompts import PromptTemplate
from langchain_core.retrievers import BaseRetriever
from rerank_langchain import RerankCompressor

from clients.cases import DOCUMENTS, ORDER, QUERY, expect
from clients.harness import Harness
from clients.setups import client_setup
from rerank.client import RerankClient
from rerank.errors import DeadlineExceeded, InvalidArgument, NotFound, Unauthenticated, Unavailable

Rank = Callable[[RerankCompressor, Sequence[Document], str], Sequence[Document]]


@client_setup(
    "langchain-core",
    dialect="rerank.v1",
    note="adapter [rerank_langchain.py](examples/rerank_langchain.py); `H` is `host:port` of gRPC",
)
def compressor(H: str, k: str, M: str) -> RerankCompressor:
    return RerankCompressor(address=H, api_key=k, model=M)


def at(harness: Harness, **fields: Any) -> RerankCompressor:
    return harness.at(compressor, H=harness.grpc, k=harness.key).model_copy(update=fields)


def blocking(made: RerankCompressor, documents: Sequence[Document], query: str) -> Sequence[Document]:
    with closing(made):
        return made.compress_documents(documents, query)


def asynchronous(made: RerankCompressor, documents: Sequence[Document], query: str) -> Sequence[Document]:
    """Rank in an event loop of its own."""

    async def rank() -> Sequence[Document]:
        async with aclosing(made):
            return await made.acompress_documents(documents, query)

    return asyncio.run(rank())


@pytest.fixture(params=[blocking, asynchronous])
def rank(request: pytest.FixtureRequest) -> Rank:
    """Return both ways to call."""
    ranked: Rank = request.param
    return ranked


def candidates() -> list[Document]:
    return [
        Document(id=f"id-{position}", page_content=text, metadata={"position": position})
        for position, text in enumerate(DOCUMENTS)
    ]


def ranking(documents: Sequence[Document]) -> list[tuple[int, float]]:
    return [(each.metadata["position"], each.metadata["relevance_score"]) for each in documents]


def test_ids_metadata_and_scores(harness: Harness, rank: Rank) -> None:
    """The given documents stay as they are."""
    given = candidates()
    ranked = rank(at(harness), given, QUERY)
    expect(ranking(ranked))
    assert [each.id for each in ranked] == [f"id-{position}" for position in ORDER]
    assert given == candidates()


def test_top_n_and_threshold(harness: Harness, rank: Rank) -> None:
    """The threshold is inclusive."""
    expect(ranking(rank(at(harness, top_n=2), candidates(), QUERY)), top_n=2)
    second = rank(at(harness), candidates(), QUERY)[1].metadata["relevance_score"]
    expect(ranking(rank(at(harness, score_threshold=second), candidates(), QUERY)), top_n=2)


def test_a_prompt_adds_metadata_to_the_ranked_text(harness: Harness, rank: Rank) -> None:
    """Without it, only the page content counts."""
    documents = [
        Document(page_content="It is a capital.", metadata={"position": position, "city": city})
        for position, city in enumerate(["Rome, Italy", "Paris, France", "Bern, Switzerland"])
    ]
    prompt = PromptTemplate.from_template("{city}: {page_content}")
    (first, *_) = rank(at(harness, document_prompt=prompt), documents, QUERY)
    assert first.metadata["position"] == 1
    assert first.page_content == "It is a capital."
    equal = {score for _, score in ranking(rank(at(harness), documents, QUERY))}
    assert len(equal) == 1


def test_no_documents_need_no_server(rank: Rank) -> None:
    """Nothing listens at this address."""
    assert list(rank(RerankCompressor(address="127.0.0.1:1"), [], QUERY)) == []


def test_errors_are_those_of_the_client(harness: Harness, rank: Rank) -> None:
    """They are not wrapped."""
    with pytest.raises(InvalidArgument) as caught:
        rank(at(harness), candidates(), "")
    assert caught.value.field == "query"
    with pytest.raises(NotFound):
        rank(at(harness, model="no-such-model"), candidates(), QUERY)
    with pytest.raises(Unauthenticated):
        rank(RerankCompressor(address=harness.grpc, api_key="wrong"), candidates(), QUERY)
    with pytest.raises(DeadlineExceeded):
        rank(at(harness, client_options={"timeout": 1e-9}), candidates(), QUERY)


def test_one_compressor_serves_several_event_loops(harness: Harness) -> None:
    """Its connections are not closed between them."""
    made = at(harness)
    for _ in range(2):
        expect(ranking(asyncio.run(made.acompress_documents(candidates(), QUERY))))
    expect(ranking(asynchronous(made, candidates(), QUERY)))


def test_a_given_client_is_used_and_stays_open(harness: Harness, rank: Rank) -> None:
    """The caller closes it."""
    with RerankClient(harness.grpc, api_key=harness.key) as client:
        made = RerankCompressor(address="127.0.0.1:1", client=client)
        for _ in range(2):
            expect(ranking(rank(made, candidates(), QUERY)))


def test_the_key_comes_from_the_environment_and_is_not_shown(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain's own integrations do the same."""
    monkeypatch.setenv("RERANK_API_KEY", harness.key)
    made = RerankCompressor(address=harness.grpc)
    expect(ranking(blocking(made, candidates(), QUERY)))
    assert harness.key not in repr(made)
    assert harness.key not in made.model_dump_json(exclude={"client"})


@pytest.mark.parametrize("top_n", [0, -1])
def test_top_n_is_checked(top_n: int) -> None:
    """When the compressor is made, not at its first call."""
    with pytest.raises(ValueError, match="top_n"):
        RerankCompressor(top_n=top_n)


def test_copies_have_connections_of_their_own(harness: Harness) -> None:
    """A worker process gets a pickled one."""
    made = at(harness)
    made.compress_documents(candidates(), QUERY)
    copies = [deepcopy(made), pickle.loads(pickle.dumps(made))]
    made.close()
    for each in copies:
        expect(ranking(blocking(each, candidates(), QUERY)))


def test_a_changed_address_is_used(harness: Harness, rank: Rank) -> None:
    """Also after a call, and in a copy, which shares the open connections."""
    made = at(harness)
    expect(ranking(made.compress_documents(candidates(), QUERY)))
    elsewhere = made.model_copy(update={"address": "127.0.0.1:9", "client_options": {"retries": 0}})
    with pytest.raises(Unavailable):
        rank(elsewhere, candidates(), QUERY)
    expect(ranking(rank(made, candidates(), QUERY)))
    made.address, made.client_options = elsewhere.address, elsewhere.client_options
    with pytest.raises(Unavailable):
        rank(made, candidates(), QUERY)


class Retriever(BaseRetriever):
    """A first stage that finds all documents."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return candidates()


def test_in_a_retriever(harness: Harness) -> None:
    """Both ways to call it."""
    made = at(harness, top_n=2)
    retriever = ContextualCompressionRetriever(base_compressor=made, base_retriever=Retriever())
    expect(ranking(retriever.invoke(QUERY)), top_n=2)
    expect(ranking(asyncio.run(retriever.ainvoke(QUERY))), top_n=2)
    made.close()

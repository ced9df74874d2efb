"""docs/examples/rerank_rerankers.py: the interface of the package `rerankers`, with the real package."""

import asyncio
import pickle
from collections.abc import Callable
from contextlib import aclosing, closing
from copy import deepcopy
from typing import Any

import pytest
from rerank_rerankers import RerankServiceRanker
from rerankers import Reranker
from rerankers.documents import Document
from rerankers.results import RankedResults

from clients.cases import DOCUMENTS, ORDER, QUERY, expect
from clients.harness import Harness
from clients.setups import client_setup
from rerank.client import RerankClient
from rerank.errors import DeadlineExceeded, InvalidArgument, NotFound, Unauthenticated

Rank = Callable[..., RankedResults]


@client_setup(
    "rerankers",
    dialect="rerank.v1",
    note="adapter [rerank_rerankers.py](examples/rerank_rerankers.py), whose import adds the model type; "
    "`H` is `host:port` of gRPC",
)
def ranker(H: str, k: str, M: str) -> Any:
    return Reranker(M, model_type="rerank-service", address=H, api_key=k)


def at(harness: Harness, model: str = "starter", key: str = "", **fields: Any) -> RerankServiceRanker:
    return RerankServiceRanker(model, address=harness.grpc, api_key=key or harness.key, **fields)


def blocking(made: RerankServiceRanker, *arguments: Any) -> RankedResults:
    with closing(made):
        return made.rank(*arguments)


def asynchronous(made: RerankServiceRanker, *arguments: Any) -> RankedResults:
    """Rank in an event loop of its own."""

    async def rank() -> RankedResults:
        async with aclosing(made):
            return await made.rank_async(*arguments)

    return asyncio.run(rank())


@pytest.fixture(params=[blocking, asynchronous])
def rank(request: pytest.FixtureRequest) -> Rank:
    """Return both ways to call."""
    ranked: Rank = request.param
    return ranked


def ranking(results: RankedResults) -> list[tuple[int, float]]:
    return [(each.doc_id, each.score) for each in results]


def test_the_factory_makes_it(harness: Harness, rank: Rank) -> None:
    """Ids are positions unless given, ranks start at 1."""
    made = harness.at(ranker, H=harness.grpc, k=harness.key)
    assert isinstance(made, RerankServiceRanker)
    results = rank(made, QUERY, DOCUMENTS)
    expect(ranking(results))
    assert [each.rank for each in results] == [1, 2, 3]
    assert [each.text for each in results] == [DOCUMENTS[index] for index in ORDER]
    assert (results.query, results.has_scores, results.results_count()) == (QUERY, True, 3)
    assert [each.doc_id for each in results.top_k(2)] == ORDER[:2]


def test_ids_and_metadata(harness: Harness, rank: Rank) -> None:
    """Given beside the texts."""
    metadata = [{"page": position} for position in range(len(DOCUMENTS))]
    results = rank(at(harness), QUERY, DOCUMENTS, ["a", "b", "c"], metadata)
    assert [(each.doc_id, each.metadata) for each in results] == [
        ("b", metadata[1]),
        ("a", metadata[0]),
        ("c", metadata[2]),
    ]
    assert results.get_score_by_docid("b") == results[0].score


def test_documents_keep_ids_and_metadata(harness: Harness, rank: Rank) -> None:
    """The given documents stay as they are. One without an id gets its position."""
    documents = [
        Document(text, doc_id=f"id-{position}", metadata={"page": position}) for position, text in enumerate(DOCUMENTS)
    ]
    documents[2].doc_id = None
    results = rank(at(harness), QUERY, documents)
    assert [(each.doc_id, each.metadata["page"]) for each in results] == [("id-1", 1), ("id-0", 0), (2, 2)]
    assert documents[2].doc_id is None
    renamed = rank(at(harness), QUERY, documents, ["a", "b", "c"], [{}, {"page": 7}, {}])
    assert (renamed[0].doc_id, renamed[0].metadata) == ("b", {"page": 7})


def test_one_document(harness: Harness, rank: Rank) -> None:
    """A text or a Document instead of a list."""
    assert [each.doc_id for each in rank(at(harness), QUERY, DOCUMENTS[1])] == [0]
    assert [each.doc_id for each in rank(at(harness), QUERY, Document(DOCUMENTS[1], doc_id="a"))] == ["a"]


def test_top_n_and_threshold(harness: Harness, rank: Rank) -> None:
    """The threshold is inclusive."""
    expect(ranking(rank(at(harness, top_n=2), QUERY, DOCUMENTS)), top_n=2)
    second = rank(at(harness), QUERY, DOCUMENTS)[1].score
    expect(ranking(rank(at(harness, score_threshold=second), QUERY, DOCUMENTS)), top_n=2)


def test_score(harness: Harness) -> None:
    """The threshold does not apply, because there would be no score to return."""
    made = at(harness, score_threshold=1.0)
    right, wrong = made.score(QUERY, DOCUMENTS[1]), made.score(QUERY, DOCUMENTS[2])
    made.close()
    assert 0 <= wrong < right <= 1


def test_no_documents_need_no_server(rank: Rank) -> None:
    """Nothing listens at this address."""
    results = rank(RerankServiceRanker(address="127.0.0.1:1"), QUERY, [])
    assert (results.results_count(), results.has_scores, results.query) == (0, True, QUERY)


def test_images_are_rejected(rank: Rank) -> None:
    """The error names the document."""
    image = Document(document_type="image", base64="iVBORw0KGgo=")
    with pytest.raises(ValueError, match="document 1 is of type image"):
        rank(RerankServiceRanker(address="127.0.0.1:1"), QUERY, [Document("text"), image])


def test_errors_are_those_of_the_client(harness: Harness, rank: Rank) -> None:
    """They are not wrapped."""
    with pytest.raises(InvalidArgument) as caught:
        rank(at(harness), "", DOCUMENTS)
    assert caught.value.field == "query"
    with pytest.raises(NotFound):
        rank(at(harness, "no-such-model"), QUERY, DOCUMENTS)
    with pytest.raises(Unauthenticated):
        rank(at(harness, key="wrong"), QUERY, DOCUMENTS)
    with pytest.raises(DeadlineExceeded):
        rank(at(harness, timeout=1e-9), QUERY, DOCUMENTS)


def test_one_ranker_serves_several_event_loops(harness: Harness) -> None:
    """Its connections are not closed between them."""
    made = at(harness)
    for _ in range(2):
        expect(ranking(asyncio.run(made.rank_async(QUERY, DOCUMENTS))))
    expect(ranking(asynchronous(made, QUERY, DOCUMENTS)))


def test_a_given_client_is_used_and_stays_open(harness: Harness, rank: Rank) -> None:
    """The caller closes it."""
    with RerankClient(harness.grpc, api_key=harness.key) as client:
        made = RerankServiceRanker(address="127.0.0.1:1", client=client)
        for _ in range(2):
            expect(ranking(rank(made, QUERY, DOCUMENTS)))


def test_copies_have_connections_of_their_own(harness: Harness) -> None:
    """A worker process gets a pickled one."""
    made = at(harness)
    made.rank(QUERY, DOCUMENTS)
    copies = [deepcopy(made), pickle.loads(pickle.dumps(made))]
    made.close()
    for each in copies:
        expect(ranking(blocking(each, QUERY, DOCUMENTS)))


@pytest.mark.parametrize(
    "arguments", [{"doc_ids": [1]}, {"doc_ids": [1] * 100}, {"metadata": [{}]}], ids=["few", "many", "metadata"]
)
def test_a_number_of_ids_that_is_not_that_of_the_documents_is_rejected(arguments: dict[str, Any]) -> None:
    """Before a call: ids beyond the documents would be lost."""
    (name,) = arguments
    with pytest.raises(ValueError, match=f"{name} has .* entries for {len(DOCUMENTS)} documents"):
        RerankServiceRanker(address="127.0.0.1:9").rank(QUERY, DOCUMENTS, **arguments)


def test_the_key_comes_from_the_environment(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rankers of the package do the same."""
    monkeypatch.setenv("RERANK_API_KEY", harness.key)
    expect(ranking(blocking(RerankServiceRanker(address=harness.grpc), QUERY, DOCUMENTS)))

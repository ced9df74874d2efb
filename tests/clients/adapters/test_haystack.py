"""docs/examples/rerank_haystack.py: Haystack's interface, with the real package."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from copy import copy, deepcopy
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.utils import Secret
from rerank_haystack import RerankRanker

from clients.cases import DOCUMENTS, QUERY, expect
from clients.harness import Harness
from clients.setups import client_setup
from rerank.errors import DeadlineExceeded, InvalidArgument, NotFound, Unauthenticated, Unavailable

Rank = Callable[..., dict[str, Any]]


@client_setup(
    "haystack-ai",
    dialect="rerank.v1",
    note="adapter [rerank_haystack.py](examples/rerank_haystack.py); `H` is `host:port` of gRPC",
)
def ranker(H: str, k: str, M: str) -> RerankRanker:
    return RerankRanker(address=H, api_key=Secret.from_token(k), model=M)


def at(harness: Harness, **fields: Any) -> RerankRanker:
    made = harness.at(ranker, H=harness.grpc, k=harness.key)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def blocking(made: RerankRanker, **inputs: Any) -> dict[str, Any]:
    with closing(made):
        result: dict[str, Any] = made.run(**inputs)
        return result


def asynchronous(made: RerankRanker, **inputs: Any) -> dict[str, Any]:
    """Rank in an event loop of its own."""

    async def rank() -> dict[str, Any]:
        try:
            result: dict[str, Any] = await made.run_async(**inputs)
        finally:
            await made.close_async()
        return result

    return asyncio.run(rank())


@pytest.fixture(params=[blocking, asynchronous])
def rank(request: pytest.FixtureRequest) -> Rank:
    """Return both ways to call."""
    ranked: Rank = request.param
    return ranked


def candidates() -> list[Document]:
    return [
        Document(id=str(position), content=text, meta={"page": position}, score=0.5)
        for position, text in enumerate(DOCUMENTS)
    ]


def ranking(result: dict[str, Any]) -> list[tuple[int, float]]:
    return [(int(each.id), each.score) for each in result["documents"]]


def test_ids_meta_and_scores(harness: Harness, rank: Rank) -> None:
    """The given documents stay as they are."""
    given = candidates()
    result = rank(at(harness), query=QUERY, documents=given)
    expect(ranking(result))
    assert [each.meta for each in result["documents"]] == [{"page": index} for index, _ in ranking(result)]
    assert given == candidates()
    assert (result["meta"]["model"], result["meta"]["usage"]["pairs"]) == ("starter", len(DOCUMENTS))


def test_top_k_and_threshold(harness: Harness, rank: Rank) -> None:
    """A value of the run overrides that of the component. The threshold is inclusive."""
    expect(ranking(rank(at(harness, top_k=2), query=QUERY, documents=candidates())), top_n=2)
    expect(ranking(rank(at(harness, top_k=1), query=QUERY, documents=candidates(), top_k=2)), top_n=2)
    (_, second), *_ = ranking(rank(at(harness), query=QUERY, documents=candidates()))[1:]
    expect(ranking(rank(at(harness, score_threshold=second), query=QUERY, documents=candidates())), top_n=2)
    result = rank(at(harness, score_threshold=1.0), query=QUERY, documents=candidates(), score_threshold=second)
    expect(ranking(result), top_n=2)


def test_meta_fields_are_ranked_before_the_content(harness: Harness, rank: Rank) -> None:
    """A field that a document lacks is skipped, and so is None."""
    metas: list[dict[str, Any]] = [{"city": "Rome, Italy"}, {"city": "Paris, France"}, {"city": None}, {}]
    documents = [
        Document(id=str(position), content="It is a capital.", meta=meta) for position, meta in enumerate(metas)
    ]
    ranked = ranking(rank(at(harness, meta_fields_to_embed=["city"]), query=QUERY, documents=documents))
    assert ranked[0][0] == 1
    assert dict(ranked)[2] == dict(ranked)[3]
    assert len({score for _, score in ranking(rank(at(harness), query=QUERY, documents=documents))}) == 1


def test_a_document_that_two_retrievers_found_is_ranked_once(harness: Harness, rank: Rank) -> None:
    """The one with the highest score stays, as in Haystack's own rankers."""
    found = [
        Document(id="0", content=DOCUMENTS[0]),
        Document(id="1", content=DOCUMENTS[1], meta={"from": "bm25"}, score=0.2),
        Document(id="1", content=DOCUMENTS[1], meta={"from": "embedding"}, score=0.4),
        Document(id="1", content=DOCUMENTS[1], meta={"from": "join"}),
        Document(id="2", content=DOCUMENTS[2]),
    ]
    result = rank(at(harness), query=QUERY, documents=found)
    expect(ranking(result))
    assert result["documents"][0].meta == {"from": "embedding"}


def test_no_documents_need_no_server(rank: Rank) -> None:
    """Nothing listens at this address."""
    assert rank(RerankRanker(address="127.0.0.1:1"), query=QUERY, documents=[]) == {"documents": [], "meta": {}}


def test_a_document_without_content_is_ranked(harness: Harness, rank: Rank) -> None:
    """Such as one that has only a blob."""
    ranked = ranking(
        rank(at(harness), query=QUERY, documents=[Document(id="0"), Document(id="1", content=DOCUMENTS[1])])
    )
    assert [index for index, _ in ranked] == [1, 0]


def test_errors_are_those_of_the_client(harness: Harness, rank: Rank) -> None:
    """They are not wrapped."""
    with pytest.raises(InvalidArgument) as caught:
        rank(at(harness), query="", documents=candidates())
    assert caught.value.field == "query"
    with pytest.raises(NotFound):
        rank(at(harness, model="no-such-model"), query=QUERY, documents=candidates())
    with pytest.raises(Unauthenticated):
        rank(at(harness, api_key=Secret.from_token("wrong")), query=QUERY, documents=candidates())
    with pytest.raises(DeadlineExceeded):
        rank(at(harness, client_options={"timeout": 1e-9}), query=QUERY, documents=candidates())


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_is_checked(rank: Rank, top_k: int) -> None:
    """When the component is made, and when it runs."""
    with pytest.raises(ValueError, match=f"top_k is {top_k}"):
        RerankRanker(top_k=top_k)
    with pytest.raises(ValueError, match=f"top_k is {top_k}"):
        rank(RerankRanker(), query=QUERY, documents=candidates(), top_k=top_k)


def test_one_ranker_serves_several_event_loops(harness: Harness) -> None:
    """Its connections are not closed between them."""
    made = at(harness)
    for _ in range(2):
        expect(ranking(asyncio.run(made.run_async(query=QUERY, documents=candidates()))))
    expect(ranking(asynchronous(made, query=QUERY, documents=candidates())))


def test_a_closed_ranker_connects_again(harness: Harness) -> None:
    """Warm-up is optional, and may be repeated."""
    made = at(harness)
    made.warm_up()
    made.warm_up()
    for _ in range(2):
        expect(ranking(made.run(query=QUERY, documents=candidates())))
        made.close()


def test_a_copy_has_connections_of_its_own(harness: Harness) -> None:
    """Haystack and its users copy components."""
    made = at(harness)
    made.warm_up()
    copied = deepcopy(made)
    made.close()
    expect(ranking(blocking(copied, query=QUERY, documents=candidates())))


def test_a_changed_address_is_used(harness: Harness, rank: Rank) -> None:
    """Also after a run, and in a shallow copy, which shares the open connections."""
    made = at(harness)
    expect(ranking(made.run(query=QUERY, documents=candidates())))
    elsewhere = copy(made)
    elsewhere.address, elsewhere.client_options = "127.0.0.1:9", {"retries": 0}
    with pytest.raises(Unavailable):
        rank(elsewhere, query=QUERY, documents=candidates())
    expect(ranking(rank(made, query=QUERY, documents=candidates())))


def test_a_key_in_the_code_is_not_serialized(harness: Harness) -> None:
    """Haystack refuses it, so a key never gets into a file."""
    with pytest.raises(ValueError, match="Cannot serialize token-based secret"):
        at(harness).to_dict()


def test_without_a_key(harness: Harness) -> None:
    """The server wants one."""
    made = RerankRanker.from_dict(RerankRanker(address=harness.grpc, api_key=None).to_dict())
    assert made.api_key is None
    with pytest.raises(Unauthenticated):
        blocking(made, query=QUERY, documents=candidates())


@component
class Retriever:
    """A first stage that finds all documents."""

    @component.output_types(documents=list[Document])
    def run(self) -> dict[str, list[Document]]:
        return {"documents": candidates()}


def test_in_a_pipeline_from_yaml(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names the variable of the key, and both ways to run the pipeline rank."""
    monkeypatch.setenv("RERANK_API_KEY", harness.key)
    made = RerankRanker(
        address=harness.grpc,
        model="starter",
        top_k=2,
        score_threshold=0.0,
        meta_fields_to_embed=["title"],
        meta_data_separator=" | ",
        client_options={"timeout": 30},
    )
    written = Pipeline()
    written.add_component("ranker", made)
    text = written.dumps()
    assert harness.key not in text
    assert "RERANK_API_KEY" in text
    pipeline = Pipeline.loads(text, allowed_modules=["rerank_haystack"])
    read = pipeline.get_component("ranker")
    assert read.to_dict() == made.to_dict()
    pipeline.add_component("retriever", Retriever())
    pipeline.connect("retriever.documents", "ranker.documents")
    inputs = {"ranker": {"query": QUERY}}
    expect(ranking(pipeline.run(inputs)["ranker"]), top_n=2)
    pipeline.close()
    expect(ranking(asyncio.run(pipeline.run_async(inputs))["ranker"]), top_n=2)

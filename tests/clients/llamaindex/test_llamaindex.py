"""LlamaIndex's rerankers of Cohere, Jina, TEI and Xinference, and cohere 6.1, their dependency."""

from typing import Any, ClassVar

import cohere
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from llama_index.postprocessor.xinference_rerank import XinferenceRerank

from clients.cases import DOCUMENTS, RETRIED, STATUSES, Case, RankingTests, RankRequest, RetryTests, expect
from clients.cohere_errors import COHERE_ERRORS
from clients.harness import Harness
from clients.setups import client_setup

OF_TEI = dict.fromkeys((400, 401, 424, 429, 503), AssertionError) | {413: TypeError}
"""It counts the keys of the error as results: 413 has as many as there are documents."""
LOOP = "adds its own retries to those of the SDK: up to 10 tries on 500, 503 and 504, 4 to 10 s apart"
NO_STATUS = (
    "does not check the status: every error is an AssertionError or a TypeError; "
    "`auth_token` is `Bearer KEY` or the bare key"
)


@client_setup("cohere", dialect="Cohere v2")
def cohere_v2(H: str, k: str, M: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key=k, base_url=H)


@client_setup("llama-index-postprocessor-cohere-rerank", dialect="Cohere v2", note=LOOP)
def of_cohere(H: str, k: str, M: str) -> CohereRerank:
    return CohereRerank(model=M, api_key=k, base_url=H)


@client_setup(
    "llama-index-postprocessor-jinaai-rerank",
    dialect="Jina",
    note="every error is a RuntimeError with the server's message",
)
def of_jina(H: str, k: str, M: str) -> JinaRerank:
    return JinaRerank(model=M, api_key=k, base_url=H + "/v1")


@client_setup("llama-index-postprocessor-tei-rerank", dialect="TEI", note=NO_STATUS)
def of_tei(H: str, k: str, M: str) -> TextEmbeddingInference:
    return TextEmbeddingInference(base_url=H, auth_token="Bearer " + k)


@client_setup("llama-index-postprocessor-tei-rerank", dialect="TEI", note=NO_STATUS)
def of_tei_by_bare_key(H: str, k: str, M: str) -> TextEmbeddingInference:
    return TextEmbeddingInference(base_url=H, auth_token=k)


@client_setup(
    "llama-index-postprocessor-xinference-rerank",
    dialect="Xinference",
    note="sends no key: use it with a server that has none",
)
def of_xinference(H: str, k: str, M: str) -> XinferenceRerank:
    return XinferenceRerank(model=M, base_url=H)


def ask_sdk(client: cohere.ClientV2, request: RankRequest) -> list[tuple[int, float]]:
    response = client.rerank(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    return [(result.index, result.relevance_score) for result in response.results]


def ask(reranker: Any, request: RankRequest) -> list[tuple[int, float]]:
    nodes = [NodeWithScore(node=TextNode(id_=str(index), text=text)) for index, text in enumerate(DOCUMENTS)]
    reranker.top_n = request.top_n or len(nodes)
    return [
        (int(result.node.id_), result.score) for result in reranker.postprocess_nodes(nodes, query_str=request.query)
    ]


class TestOtherSetups(RankingTests):
    """Other setups."""

    cases: ClassVar = [
        Case(cohere_v2, ask_sdk, "/v2/rerank", COHERE_ERRORS),
        Case(of_tei, ask, "/rerank", {}),
    ]


class TestLlamaIndex(RetryTests):
    """Rerankers of LlamaIndex."""

    cases: ClassVar = [
        Case(of_cohere, ask, "/v2/rerank", COHERE_ERRORS, retries=RETRIED),
        Case(of_jina, ask, "/v1/rerank", dict.fromkeys(STATUSES, RuntimeError)),
        Case(
            of_tei_by_bare_key,
            ask,
            "/rerank",
            OF_TEI,
            failed=424,
        ),
    ]


def test_xinference_sends_no_key(harness: Harness) -> None:
    """The client works with a server without keys."""
    harness.recorder.next("open", "open")
    reranker = harness.open(of_xinference)
    expect(ask(reranker, RankRequest()))
    expect(ask(reranker, RankRequest(top_n=2)), top_n=2)
    assert harness.last.path == "/v1/rerank"
    assert "authorization" not in harness.last.sent_headers

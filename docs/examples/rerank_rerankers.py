"""Ranker of the package `rerankers` for rerank-service. Copy this file into your project.

It needs `rerankers` and `rerank-service`. Importing this file adds the model type `rerank-service`:

    import rerank_rerankers
    from rerankers import Reranker

    ranker = Reranker("starter", model_type="rerank-service", address="127.0.0.1:50051", verbose=0)
    best = ranker.rank(query, documents).top_k(3)

Errors of a call are those of `rerank.errors`.
"""

import asyncio
import os
from copy import copy
from typing import Any, TypeAlias

from rerankers.documents import Document
from rerankers.models import AVAILABLE_RANKERS
from rerankers.models.ranker import BaseRanker
from rerankers.results import RankedResults, Result

from rerank.client import DEFAULT_ADDRESS, Address, AsyncRerankClient, Options, RerankClient
from rerank.connections import Connections
from rerank.v1.rerank_pb2 import RerankResponse

Documents: TypeAlias = str | list[str] | Document | list[Document]
DocumentIds: TypeAlias = list[str] | list[int]


class RerankServiceRanker(BaseRanker):
    """Ranks documents with a cross-encoder. A result has `score`, `rank` from 1, `doc_id` and `metadata`."""

    def __init__(
        self,
        model_name_or_path: str = "",
        verbose: int = 0,
        *,
        address: Address = DEFAULT_ADDRESS,
        api_key: str | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
        client: RerankClient | None = None,
        **client_options: Any,
    ) -> None:
        """Create a ranker. It connects on its first call.

        Args:
            model_name_or_path: name or alias of the model. Empty: the default model of the server.
            verbose: accepted for `Reranker`. This ranker prints nothing.
            address: gRPC address of the server: `host:port`, `grpcs://host:port` for TLS, or a list of replicas.
            api_key: API key. None: the environment variable RERANK_API_KEY, if it is set.
            top_n: maximum number of results. None: all.
            score_threshold: leave out results with a lower score. None: keep all.
            client: a client to use instead of the address, such as that of `RerankClient.local()`. `rank_async` runs
                it in a thread.
            client_options: more parameters of RerankClient, such as `timeout` and `tls_ca`.
        """
        self.verbose = verbose
        self.ranking_type = "pointwise"
        self._model = model_name_or_path
        self._options = Options(model=model_name_or_path, top_n=top_n, min_score=score_threshold)
        self._address = address
        self._parameters = {"api_key": api_key or os.environ.get("RERANK_API_KEY"), **client_options}
        self._given = client
        self._connections = Connections()

    def score(self, query: str, doc: str) -> float:
        """Return the score of one document, whatever `score_threshold` is."""
        return self._client().rerank(query, [doc], model=self._model).results[0].relevance_score

    def rank(
        self,
        query: str,
        docs: Documents,
        doc_ids: DocumentIds | None = None,
        metadata: list[dict[str, Any]] | None = None,
    ) -> RankedResults:
        """Rank documents. Ids are positions from 0 unless given.

        Raises:
            ValueError: a document is an image, or `doc_ids` or `metadata` has another length than `docs`.
        """
        documents = _documents(docs, doc_ids, metadata)
        if not documents:
            return RankedResults(results=[], query=query, has_scores=True)
        texts = [each.text for each in documents]
        return _results(query, documents, self._client().rerank(query, texts, **self._options))

    async def rank_async(
        self,
        query: str,
        docs: Documents,
        doc_ids: DocumentIds | None = None,
        metadata: list[dict[str, Any]] | None = None,
    ) -> RankedResults:
        """Rank documents, like rank."""
        if self._given:
            return await asyncio.to_thread(self.rank, query, docs, doc_ids, metadata)
        documents = _documents(docs, doc_ids, metadata)
        if not documents:
            return RankedResults(results=[], query=query, has_scores=True)
        texts = [each.text for each in documents]
        response = await self._async_client().rerank(query, texts, **self._options)
        return _results(query, documents, response)

    def close(self) -> None:
        """Close the connection of blocking calls."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close all connections that calls of this event loop use."""
        await self._connections.aclose()

    def _client(self) -> RerankClient:
        return self._given or self._connections.blocking(self._address, self._parameters)

    def _async_client(self) -> AsyncRerankClient:
        return self._connections.asynchronous(self._address, self._parameters)


def _documents(docs: Documents, doc_ids: DocumentIds | None, metadata: list[dict[str, Any]] | None) -> list[Document]:
    """Return new documents. An id is that of `doc_ids`, of the document, or its position."""
    given = [docs] if isinstance(docs, str | Document) else docs
    for name, values in (("doc_ids", doc_ids), ("metadata", metadata)):
        if values is not None and len(values) != len(given):
            raise ValueError(f"{name} has {len(values)} entries for {len(given)} documents: give one for each document")
    documents = []
    for position, each in enumerate(given):
        document = Document(each) if isinstance(each, str) else copy(each)
        if document.document_type != "text":
            raise ValueError(f"document {position} is of type {document.document_type}: pass documents of type text")
        if doc_ids is not None:
            document.doc_id = doc_ids[position]
        elif document.doc_id is None:
            document.doc_id = position
        if metadata is not None:
            document.metadata = metadata[position]
        documents.append(document)
    return documents


def _results(query: str, documents: list[Document], response: RerankResponse) -> RankedResults:
    results = [
        Result(document=documents[result.index], score=result.relevance_score, rank=rank)
        for rank, result in enumerate(response.results, start=1)
    ]
    return RankedResults(results=results, query=query, has_scores=True)


AVAILABLE_RANKERS["rerank-service"] = RerankServiceRanker

"""LlamaIndex node postprocessor for rerank-service. Copy this file into your project.

It needs `llama-index-core` and `rerank-service`:

    from rerank_llamaindex import RerankPostprocessor

    reranker = RerankPostprocessor(address="127.0.0.1:50051", top_n=3)
    query_engine = index.as_query_engine(similarity_top_k=50, node_postprocessors=[reranker])

Errors of a call are those of `rerank.errors`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr, SecretStr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from rerank.client import DEFAULT_ADDRESS, Address, AsyncRerankClient, Options, RerankClient
from rerank.connections import Connections
from rerank.v1.rerank_pb2 import RerankResponse

_dispatcher = get_dispatcher(__name__)


def _key_of_environment() -> SecretStr | None:
    key = os.environ.get("RERANK_API_KEY")
    return SecretStr(key) if key else None


class RerankPostprocessor(BaseNodePostprocessor):
    """Ranks nodes with a cross-encoder. The score of a result is `node.score`."""

    address: Address = Field(
        default=DEFAULT_ADDRESS, description="Server: `host:port`, `grpcs://host:port` for TLS, or a list of replicas."
    )
    model: str = Field(default="", description="Name or alias of the model. Empty: the default model of the server.")
    top_n: int | None = Field(default=None, gt=0, description="Maximum number of nodes to return. None: all.")
    score_threshold: float | None = Field(default=None, description="Leave out nodes with a lower score.")
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED,
        description="Metadata to rank beside the text. EMBED leaves out `excluded_embed_metadata_keys` of a node.",
    )
    keep_retrieval_score: bool = Field(
        default=False, description='Keep the score of the retriever as `metadata["retrieval_score"]`.'
    )
    api_key: SecretStr | None = Field(
        default_factory=_key_of_environment,
        exclude=True,
        description="API key, by default from the environment variable RERANK_API_KEY. It is never serialized.",
    )
    client_options: dict[str, Any] = Field(
        default_factory=dict, description="More parameters of RerankClient, such as `timeout` and `tls_ca`."
    )
    client: RerankClient | None = Field(
        default=None,
        exclude=True,
        description="A client to use instead of the address, such as that of `RerankClient.local()`. "
        "Asynchronous calls run it in a thread.",
    )

    _connections: Connections = PrivateAttr(default_factory=Connections)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that serialized data has."""
        return "RerankPostprocessor"

    def close(self) -> None:
        """Close the connection of blocking calls."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close all connections that calls of this event loop use."""
        await self._connections.aclose()

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._events(nodes, query) as ranked:
            response = self._client().rerank(query, self._texts(nodes), **self._options())
            ranked.extend(self._ranked(nodes, response))
        return ranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if self.client or not nodes:
            return await super()._apostprocess_nodes(nodes, query_bundle)
        query = _query(query_bundle)
        with self._events(nodes, query) as ranked:
            response = await self._async_client().rerank(query, self._texts(nodes), **self._options())
            ranked.extend(self._ranked(nodes, response))
        return ranked

    @contextmanager
    def _events(self, nodes: list[NodeWithScore], query: str) -> Iterator[list[NodeWithScore]]:
        """Report a ranking to LlamaIndex's instrumentation and callbacks. Yields the list to fill with its result."""
        ranked: list[NodeWithScore] = []
        top_n = self.top_n or len(nodes)
        _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=self.model))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield ranked
            event.on_end(payload={EventPayload.NODES: ranked})
        _dispatcher.event(ReRankEndEvent(nodes=ranked))

    def _texts(self, nodes: list[NodeWithScore]) -> list[str]:
        return [each.node.get_content(metadata_mode=self.metadata_mode) for each in nodes]

    def _ranked(self, nodes: list[NodeWithScore], response: RerankResponse) -> list[NodeWithScore]:
        ranked = []
        for result in response.results:
            given = nodes[result.index]
            if self.keep_retrieval_score:
                given.node.metadata["retrieval_score"] = given.score
            ranked.append(NodeWithScore(node=given.node, score=result.relevance_score))
        return ranked

    def _client(self) -> RerankClient:
        return self.client or self._connections.blocking(self.address, self._parameters())

    def _async_client(self) -> AsyncRerankClient:
        return self._connections.asynchronous(self.address, self._parameters())

    def _parameters(self) -> dict[str, Any]:
        key = self.api_key.get_secret_value() if self.api_key else None
        return {"api_key": key, **self.client_options}

    def _options(self) -> Options:
        return Options(model=self.model, top_n=self.top_n, min_score=self.score_threshold)


def _query(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None:
        raise ValueError("a query is missing: pass query_bundle or query_str")
    return query_bundle.query_str

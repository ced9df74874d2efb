"""LangChain document compressor for rerank-service. Copy this file into your project.

It needs `langchain-core` and `rerank-service`:

    from rerank_langchain import RerankCompressor

    compressor = RerankCompressor(address="127.0.0.1:50051", top_n=3)
    documents = compressor.compress_documents(retriever.invoke(query), query)

With `langchain-classic`, `ContextualCompressionRetriever(base_compressor=compressor, base_retriever=retriever)` joins
the two steps. Errors of a call are those of `rerank.errors`.
"""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.prompts import BasePromptTemplate, aformat_document, format_document
from langchain_core.utils import secret_from_env
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from rerank.client import DEFAULT_ADDRESS, Address, AsyncRerankClient, Options, RerankClient
from rerank.connections import Connections
from rerank.v1.rerank_pb2 import RerankResponse


class RerankCompressor(BaseDocumentCompressor):
    """Ranks documents with a cross-encoder. The score of a result is `metadata["relevance_score"]`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    address: Address = DEFAULT_ADDRESS
    """gRPC address of the server: `host:port`, `grpcs://host:port` for TLS, or a list of replicas."""
    model: str = ""
    """Name or alias of the model. Empty: the default model of the server."""
    top_n: int | None = Field(default=None, gt=0)
    """Maximum number of documents to return. None: all."""
    score_threshold: float | None = None
    """Leave out documents with a lower `relevance_score`. None: keep all."""
    api_key: SecretStr | None = Field(default_factory=secret_from_env("RERANK_API_KEY", default=None))
    """API key, by default from the environment variable RERANK_API_KEY."""
    document_prompt: BasePromptTemplate[str] | None = None
    """Text to rank of a document, such as `PromptTemplate.from_template("{title}: {page_content}")`. Its variables are
    `page_content` and keys of the metadata. None: the page content."""
    client_options: dict[str, Any] = Field(default_factory=dict)
    """More parameters of RerankClient, such as `timeout` and `tls_ca`."""
    client: RerankClient | None = None
    """A client to use instead of the address, such as that of `RerankClient.local()`. Asynchronous calls run it in a
    thread."""

    _connections: Connections = PrivateAttr(default_factory=Connections)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - LangChain passes it; there is nothing to call back
    ) -> Sequence[Document]:
        """Return the documents in order of relevance, with their ids, metadata and scores."""
        if not documents:
            return []
        prompt = self.document_prompt
        texts = [format_document(each, prompt) if prompt else each.page_content for each in documents]
        return _ranked(documents, self._client().rerank(query, texts, **self._options()))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the documents in order of relevance, like compress_documents."""
        if self.client or not documents:
            return await super().acompress_documents(documents, query, callbacks)
        prompt = self.document_prompt
        texts = [await aformat_document(each, prompt) if prompt else each.page_content for each in documents]
        return _ranked(documents, await self._async_client().rerank(query, texts, **self._options()))

    def close(self) -> None:
        """Close the connection of blocking calls."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close all connections that calls of this event loop use."""
        await self._connections.aclose()

    def _client(self) -> RerankClient:
        return self.client or self._connections.blocking(self.address, self._parameters())

    def _async_client(self) -> AsyncRerankClient:
        return self._connections.asynchronous(self.address, self._parameters())

    def _parameters(self) -> dict[str, Any]:
        key = self.api_key.get_secret_value() if self.api_key else None
        return {"api_key": key, **self.client_options}

    def _options(self) -> Options:
        return Options(model=self.model, top_n=self.top_n, min_score=self.score_threshold)


def _ranked(documents: Sequence[Document], response: RerankResponse) -> list[Document]:
    """Return copies of the ranked documents, with their scores. The given documents stay unchanged."""
    return [
        documents[result.index].model_copy(
            update={"metadata": {**documents[result.index].metadata, "relevance_score": result.relevance_score}}
        )
        for result in response.results
    ]

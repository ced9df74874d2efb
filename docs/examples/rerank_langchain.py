"""LangChain document compressor for rerank-service. Copy this file into your project.

It needs `langchain-core` and `rerank-service`:

    from rerank_langchain import RerankCompressor

    compressor = RerankCompressor(address="127.0.0.1:50051", top_n=3)
    documents = compressor.compress_documents(retriever.invoke(query), query)

With `langchain-classic`, `ContextualCompressionRetriever(base_compressor=compressor, base_retriever=retriever)` joins
the two steps. Errors of a call are those of `rerank.errors`.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.prompts import BasePromptTemplate, aformat_document, format_document
from langchain_core.utils import secret_from_env
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from rerank.client import DEFAULT_ADDRESS, Address, AsyncRerankClient, Options, RerankClient
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

    _blocking: RerankClient | None = PrivateAttr(default=None)
    _by_loop: dict[asyncio.AbstractEventLoop, AsyncRerankClient] = PrivateAttr(default_factory=dict)

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
        if self._blocking:
            self._blocking.close()
            self._blocking = None

    async def aclose(self) -> None:
        """Close all connections that calls of this event loop use."""
        self.close()
        if client := self._by_loop.pop(asyncio.get_running_loop(), None):
            await client.close()

    def _client(self) -> RerankClient:
        if self.client:
            return self.client
        if self._blocking is None:
            self._blocking = RerankClient(self.address, **self._connection())
        return self._blocking

    def _async_client(self) -> AsyncRerankClient:
        """Return the client of the running event loop, because a connection belongs to the loop that opened it."""
        loop = asyncio.get_running_loop()
        for closed in [each for each in list(self._by_loop) if each.is_closed()]:
            self._by_loop.pop(closed, None)
        if loop not in self._by_loop:
            self._by_loop[loop] = AsyncRerankClient(self.address, **self._connection())
        return self._by_loop[loop]

    def _connection(self) -> dict[str, Any]:
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

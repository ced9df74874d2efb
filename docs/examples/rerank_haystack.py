"""Haystack ranker for rerank-service. Copy this file into your project.

It needs `haystack-ai` and `rerank-service`:

    from rerank_haystack import RerankRanker

    pipeline.add_component("ranker", RerankRanker(address="127.0.0.1:50051", top_k=3))
    pipeline.connect("retriever.documents", "ranker.documents")

Haystack loads components of your own modules from YAML only if you allow it:

    Pipeline.loads(text, allowed_modules=["rerank_haystack"])

Errors of a call are those of `rerank.errors`.
"""

import math
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import Secret, deserialize_secrets_inplace

from rerank.client import DEFAULT_ADDRESS, Address, AsyncRerankClient, Options, RerankClient
from rerank.connections import Connections
from rerank.v1.rerank_pb2 import RerankResponse

_KEY_OF_ENVIRONMENT = Secret.from_env_var("RERANK_API_KEY", strict=False)


@component
class RerankRanker:
    """Ranks documents with a cross-encoder. The score of a result is `document.score`."""

    def __init__(
        self,
        *,
        address: Address = DEFAULT_ADDRESS,
        model: str = "",
        api_key: Secret | None = _KEY_OF_ENVIRONMENT,
        top_k: int | None = None,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        meta_data_separator: str = "\n",
        client_options: dict[str, Any] | None = None,
    ) -> None:
        """Create the component. It connects on its first run.

        Args:
            address: gRPC address of the server: `host:port`, `grpcs://host:port` for TLS, or a list of replicas.
            model: name or alias of the model. Empty: the default model of the server.
            api_key: API key, by default from the environment variable RERANK_API_KEY. None: no key.
            top_k: maximum number of documents to return. None: all.
            score_threshold: leave out documents with a lower score. None: keep all.
            meta_fields_to_embed: fields of `document.meta` to rank before the content. A missing field is skipped.
            meta_data_separator: text between these fields and the content.
            client_options: more parameters of RerankClient, such as `timeout` and `tls_ca`.

        Raises:
            ValueError: `top_k` is less than 1.
        """
        self.address = address
        self.model = model
        self.api_key = api_key
        self.top_k = _checked(top_k)
        self.score_threshold = score_threshold
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.meta_data_separator = meta_data_separator
        self.client_options = client_options or {}
        self._connections = Connections()

    def to_dict(self) -> dict[str, Any]:
        """Return the component as a dictionary. It names the variable of the key, never the key."""
        data: dict[str, Any] = default_to_dict(
            self,
            address=self.address,
            model=self.model,
            api_key=self.api_key.to_dict() if self.api_key else None,
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            meta_fields_to_embed=self.meta_fields_to_embed,
            meta_data_separator=self.meta_data_separator,
            client_options=self.client_options,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RerankRanker":
        """Return the component of a dictionary that to_dict made."""
        deserialize_secrets_inplace(data["init_parameters"], keys=["api_key"])
        made: RerankRanker = default_from_dict(cls, data)
        return made

    def warm_up(self) -> None:
        """Open the client of blocking runs. A pipeline calls it before its first run."""
        self._client()

    async def warm_up_async(self) -> None:
        """Open the client of runs in this event loop."""
        self._async_client()

    def close(self) -> None:
        """Close the connection of blocking runs."""
        self._connections.close()

    async def close_async(self) -> None:
        """Close all connections that runs of this event loop use."""
        await self._connections.aclose()

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """Rank documents. Of documents with the same id, the one with the highest score is ranked.

        Args:
            query: the query.
            documents: the documents. If empty, the server is not called.
            top_k: overrides the `top_k` of the component.
            score_threshold: overrides the `score_threshold` of the component.

        Returns:
            `documents`: the documents in order of relevance. `meta`: name of the model, id and tokens of the request.

        Raises:
            ValueError: `top_k` is less than 1.
        """
        options = self._options(top_k, score_threshold)
        if not documents:
            return {"documents": [], "meta": {}}
        unique = _unique(documents)
        return _result(unique, self._client().rerank(query, self._texts(unique), **options))

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """Rank documents, like run."""
        options = self._options(top_k, score_threshold)
        if not documents:
            return {"documents": [], "meta": {}}
        unique = _unique(documents)
        return _result(unique, await self._async_client().rerank(query, self._texts(unique), **options))

    def _texts(self, documents: list[Document]) -> list[str]:
        return [self.meta_data_separator.join([*self._meta(each), each.content or ""]) for each in documents]

    def _meta(self, document: Document) -> list[str]:
        return [str(document.meta[key]) for key in self.meta_fields_to_embed if document.meta.get(key) is not None]

    def _options(self, top_k: int | None, score_threshold: float | None) -> Options:
        return Options(
            model=self.model,
            top_n=self.top_k if top_k is None else _checked(top_k),
            min_score=self.score_threshold if score_threshold is None else score_threshold,
        )

    def _client(self) -> RerankClient:
        return self._connections.blocking(self.address, self._parameters())

    def _async_client(self) -> AsyncRerankClient:
        return self._connections.asynchronous(self.address, self._parameters())

    def _parameters(self) -> dict[str, Any]:
        return {"api_key": self.api_key.resolve_value() if self.api_key else None, **self.client_options}


def _checked(top_k: int | None) -> int | None:
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}: it must be at least 1, or None for all documents")
    return top_k


def _unique(documents: list[Document]) -> list[Document]:
    """Return the documents, each id once. Several retrievers may find the same document."""
    best: dict[str, Document] = {}
    for each in documents:
        if each.id not in best or _score(each) > _score(best[each.id]):
            best[each.id] = each
    return list(best.values())


def _score(document: Document) -> float:
    return -math.inf if document.score is None else document.score


def _result(documents: list[Document], response: RerankResponse) -> dict[str, Any]:
    ranked = [replace(documents[result.index], score=result.relevance_score) for result in response.results]
    usage = {"pairs": response.usage.pairs, "prompt_tokens": response.usage.prompt_tokens}
    return {"documents": ranked, "meta": {"model": response.model, "id": response.id, "usage": usage}}

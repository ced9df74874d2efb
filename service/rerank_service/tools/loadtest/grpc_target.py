"""Load test target over gRPC: a server of rerank.v1."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from rerank.client import AsyncRerankClient
from rerank.errors import DeadlineExceeded, RerankError, ResourceExhausted, Unavailable
from rerank_service.tools.loadtest.dialects import check_ranking
from rerank_service.tools.loadtest.errors import LoadTestFailed
from rerank_service.tools.loadtest.target import NO_ANSWER_IN_TIME, CallFailed, Client, ServerInfo, Usage
from rerank_service.tools.loadtest.workload import Request, Workload

_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Channel option: without it, all channels of a process to one address share a connection."""
_PROBE_SECONDS = 60.0
_REFUSALS = (ResourceExhausted, Unavailable)


class GrpcTarget:
    """Target that uses the typed client `rerank.client`."""

    def __init__(
        self,
        address: str,
        *,
        model: str = "",
        api_key: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`address` is HOST:PORT. An empty model name means the server's default model. No credentials: no TLS."""
        self._address = address
        self._model = model
        self._api_key = api_key
        self._credentials = credentials

    async def probe(self) -> ServerInfo:
        """Send one small request; see `Target.probe`."""
        try:
            async with self._connected(_PROBE_SECONDS) as client:
                models = await client.models()
                await _GrpcClient(client, self._model).rank(Workload(documents=2).request(0))
        except RerankError as error:
            raise LoadTestFailed(f"{self._url}: {error}") from error
        except CallFailed as error:
            raise LoadTestFailed(f"{self._url}: {error.kind}: {error}") from error
        named = [model for model in models if self._model in (model.name, *model.aliases)]
        model = (named or models)[0]
        return ServerInfo(model.name, model.precision, model.provider, "rerank.v1")

    @asynccontextmanager
    async def client(self, deadline: float | None = None) -> AsyncIterator[Client]:
        """Return a new client; see `Target.client`."""
        async with self._connected(deadline) as client:
            yield _GrpcClient(client, self._model)

    @property
    def _url(self) -> str:
        return f"{'grpcs' if self._credentials else 'grpc'}://{self._address}"

    def _connected(self, deadline: float | None) -> AsyncRerankClient:
        return AsyncRerankClient(
            self._address,
            api_key=self._api_key,
            credentials=self._credentials,
            timeout=deadline,
            retries=0,  # a refusal is a result
            options=_OWN_CONNECTION,
        )


class _GrpcClient:
    def __init__(self, client: AsyncRerankClient, model: str) -> None:
        self._client = client
        self._model = model

    async def connect(self) -> None:
        await self._client.models()

    async def rank(self, request: Request) -> Usage:
        try:
            response = await self._client.rerank(request.query, request.documents, model=self._model)
        except RerankError as error:
            kind = NO_ANSWER_IN_TIME if isinstance(error, DeadlineExceeded) else error.status.name
            raise CallFailed(kind, error.message, refused=isinstance(error, _REFUSALS)) from error
        indexes = [result.index for result in response.results]
        check_ranking(indexes, [result.logit for result in response.results], len(request.documents))
        return Usage(response.usage.prompt_tokens, response.usage.padded_tokens)

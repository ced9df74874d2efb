"""mixedbread: blocking and asynchronous."""

from typing import ClassVar

import mixedbread
import pytest

from clients.cases import DOCUMENTS, MODEL, QUERY, REFUSED, Case, NoVainRetryTests, RankRequest, expect, wait
from clients.harness import Harness
from clients.setups import client_setup

RAISES = {
    400: mixedbread.BadRequestError,
    401: mixedbread.AuthenticationError,
    404: mixedbread.NotFoundError,
    413: mixedbread.APIStatusError,
    429: mixedbread.RateLimitError,
    500: mixedbread.InternalServerError,
    503: mixedbread.InternalServerError,
}


@client_setup("mixedbread", dialect="mixedbread")
def blocking(H: str, k: str, M: str) -> mixedbread.Mixedbread:
    return mixedbread.Mixedbread(api_key=k, base_url=H)


@client_setup("mixedbread", dialect="mixedbread")
def asynchronous(H: str, k: str, M: str) -> mixedbread.AsyncMixedbread:
    return mixedbread.AsyncMixedbread(api_key=k, base_url=H)


def ask(client: mixedbread.Mixedbread | mixedbread.AsyncMixedbread, request: RankRequest) -> list[tuple[int, float]]:
    top_k = mixedbread.omit if request.top_n is None else request.top_n
    called = client.rerank(model=request.model, query=request.query, input=DOCUMENTS, top_k=top_k)
    response = wait(called) if isinstance(client, mixedbread.AsyncMixedbread) else called
    assert response.model == MODEL
    assert response.usage.total_tokens > 0
    return [(result.index, result.score) for result in response.data]


class TestMixedbread(NoVainRetryTests):
    """Clients of the SDK."""

    cases: ClassVar = [
        Case(blocking, ask, "/v1/reranking", RAISES, retries=REFUSED),
        Case(asynchronous, ask, "/v1/reranking", RAISES, retries=REFUSED),
    ]

    def test_objects_come_back(self, harness: Harness) -> None:
        """Objects are returned unchanged."""
        documents = [{"title": text, "page": page} for page, text in enumerate(DOCUMENTS)]
        response = harness.open(blocking).rerank(
            model=MODEL, query=QUERY, input=documents, rank_fields=["title"], return_input=True
        )
        expect((result.index, result.score) for result in response.data)
        assert [result.input for result in response.data] == [documents[result.index] for result in response.data]

    @pytest.mark.parametrize(("status", "server"), [(429, "overloaded"), (503, "draining")])
    def test_refusal_without_retries(self, harness: Harness, status: int, server: str) -> None:
        """Check the exception without retries."""
        harness.recorder.next(server)
        with pytest.raises(RAISES[status]):
            ask(harness.open(blocking).with_options(max_retries=0), RankRequest())

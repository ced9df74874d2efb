"""mixedbread: blocking and asynchronous."""

from typing import ClassVar

import mixedbread
import pytest

from clients.cases import DOCUMENTS, MODEL, QUERY, Asked, Case, Checks, expect, wait
from clients.ground import Ground
from clients.ways import way

RAISES = {
    400: mixedbread.BadRequestError,
    401: mixedbread.AuthenticationError,
    404: mixedbread.NotFoundError,
    429: mixedbread.RateLimitError,
    503: mixedbread.InternalServerError,
}


@way("mixedbread", dialect="mixedbread")
def blocking(H: str, k: str, M: str) -> mixedbread.Mixedbread:
    return mixedbread.Mixedbread(api_key=k, base_url=H)


@way("mixedbread", dialect="mixedbread")
def asynchronous(H: str, k: str, M: str) -> mixedbread.AsyncMixedbread:
    return mixedbread.AsyncMixedbread(api_key=k, base_url=H)


def ask(client: mixedbread.Mixedbread | mixedbread.AsyncMixedbread, asked: Asked) -> list[tuple[int, float]]:
    top_k = mixedbread.omit if asked.top_n is None else asked.top_n
    called = client.rerank(model=asked.model, query=asked.query, input=DOCUMENTS, top_k=top_k)
    answer = wait(called) if isinstance(client, mixedbread.AsyncMixedbread) else called
    assert answer.model == MODEL
    assert answer.usage.total_tokens > 0
    return [(one.index, one.score) for one in answer.data]


class TestMixedbread(Checks):
    """The SDK."""

    cases: ClassVar = [
        Case(blocking, ask, "/v1/reranking", RAISES, retries=True),
        Case(asynchronous, ask, "/v1/reranking", RAISES, retries=True),
    ]

    def test_objects_come_back(self, ground: Ground) -> None:
        """As they were sent."""
        documents = [{"title": text, "page": page} for page, text in enumerate(DOCUMENTS)]
        answer = ground.open(blocking).rerank(
            model=MODEL, query=QUERY, input=documents, rank_fields=["title"], return_input=True
        )
        expect((one.index, one.score) for one in answer.data)
        assert [one.input for one in answer.data] == [documents[one.index] for one in answer.data]

    @pytest.mark.parametrize(("status", "server"), [(429, "overloaded"), (503, "draining")])
    def test_a_refusal_without_retries(self, ground: Ground, status: int, server: str) -> None:
        """What is raised when there is no other try."""
        ground.front.next(server)
        with pytest.raises(RAISES[status]):
            ask(ground.open(blocking).with_options(max_retries=0), Asked())

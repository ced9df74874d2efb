"""cohere 4.57: blocking and asynchronous. Every error is a CohereAPIError, whose `http_status` tells them apart."""

from typing import Any, ClassVar

import cohere
import pytest

from clients.cases import DOCUMENTS, QUERY, Asked, Case, Checks, Ranks, expect, wait
from clients.ground import Ground
from clients.ways import way

NOTE = "every error is a CohereAPIError; read its `http_status`"
RAISES = dict.fromkeys((400, 401, 404), cohere.CohereAPIError)


@way("cohere", dialect="Cohere v1", note=NOTE)
def blocking(H: str, k: str, M: str) -> Any:
    return cohere.Client(k, api_url=H)


@way("cohere", dialect="Cohere v1", note=NOTE)
def asynchronous(H: str, k: str, M: str) -> Any:
    return cohere.AsyncClient(k, api_url=H)


def ask(client: Any, asked: Asked) -> list[tuple[int, float]]:
    answer = client.rerank(query=asked.query, documents=DOCUMENTS, model=asked.model, top_n=asked.top_n)
    assert answer.meta["billed_units"]["search_units"] == 1
    return [(one.index, one.relevance_score) for one in answer.results]


def ask_async(client: Any, asked: Asked) -> list[tuple[int, float]]:
    async def asking() -> Any:
        return await client.rerank(query=asked.query, documents=DOCUMENTS, model=asked.model, top_n=asked.top_n)

    return [(one.index, one.relevance_score) for one in wait(asking()).results]


class TestCohere(Checks):
    """The blocking client."""

    cases: ClassVar = [Case(blocking, ask, "/v1/rerank", RAISES, retries=True)]

    def test_statuses(self, ground: Ground) -> None:
        """400 and 404, and the server's sentence."""
        for asked, status in ((Asked(query=""), 400), (Asked(model="other"), 404)):
            with pytest.raises(cohere.CohereAPIError) as caught:
                ask(ground.open(blocking), asked)
            assert caught.value.http_status == status
            assert "must not be empty" in str(caught.value) or "served: starter" in str(caught.value)

    def test_objects(self, ground: Ground) -> None:
        """It wraps strings, and sends objects with `text` as they are."""
        documents = [{"text": text, "page": page} for page, text in enumerate(DOCUMENTS)]
        answer = ground.open(blocking).rerank(query=QUERY, documents=documents, model="starter")
        expect((one.index, one.relevance_score) for one in answer.results)


class TestAsynchronous(Ranks):
    """The other one."""

    cases: ClassVar = [Case(asynchronous, ask_async, "/v1/rerank", RAISES)]

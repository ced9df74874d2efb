"""infinity_client: it returns None for every error except 422, which it cannot parse. Its dialect never sends 422."""

from typing import Any, ClassVar

from infinity_client import AuthenticatedClient
from infinity_client.api.default import rerank
from infinity_client.models import RerankInput

from clients.cases import DOCUMENTS, MODEL, STATUSES, Case, RankRequest, ReportedError, RetryTests
from clients.setups import client_setup


@client_setup("infinity_client", dialect="Infinity", note="returns None for every error")
def client(H: str, k: str, M: str) -> Any:
    return AuthenticatedClient(base_url=H, token=k)


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    body = RerankInput(query=request.query, documents=DOCUMENTS, model=request.model, top_n=request.top_n)
    response = rerank.sync(client=client, body=body)
    if response is None:
        raise ReportedError
    assert response.object_.value == "rerank"
    assert response.model == MODEL
    assert response.usage.total_tokens > 0
    return [(result.index, result.relevance_score) for result in response.results]


class TestInfinity(RetryTests):
    """The generated client."""

    cases: ClassVar = [Case(client, ask, "/rerank", dict.fromkeys(STATUSES, ReportedError))]

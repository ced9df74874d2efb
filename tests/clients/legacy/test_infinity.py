"""infinity_client: it returns None for every error except 422, which it cannot parse. Its dialect never sends 422."""

from typing import Any, ClassVar

from infinity_client import AuthenticatedClient
from infinity_client.api.default import rerank
from infinity_client.models import RerankInput

from clients.cases import DOCUMENTS, MODEL, Case, RankRequest, ReportedError, RetryTests
from clients.setups import client_setup


@client_setup("infinity_client", dialect="Infinity", note="returns None for every error")
def client(H: str, k: str, M: str) -> Any:
    return AuthenticatedClient(base_url=H, token=k)


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    body = RerankInput(query=request.query, documents=DOCUMENTS, model=request.model, top_n=request.top_n)
    answer = rerank.sync(client=client, body=body)
    if answer is None:
        raise ReportedError
    assert answer.object_.value == "rerank"
    assert answer.model == MODEL
    assert answer.usage.total_tokens > 0
    return [(one.index, one.relevance_score) for one in answer.results]


class TestInfinity(RetryTests):
    """The generated client."""

    cases: ClassVar = [Case(client, ask, "/rerank", dict.fromkeys((400, 401, 404, 429, 503), ReportedError))]

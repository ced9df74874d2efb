"""xinference_client: it asks whether there are keys, then for the model, then for the ranking."""

from typing import Any

import pytest
from xinference_client import RESTfulClient

from clients.cases import DOCUMENTS, MODEL, QUERY, expect
from clients.ground import Ground
from clients.ways import way

NOTE = "requests `/v1/cluster/auth` and `/v1/models/M` first; every error is a RuntimeError with the server's message"


@way("xinference-client", dialect="Xinference", note=NOTE)
def client(H: str, k: str, M: str) -> Any:
    return RESTfulClient(H, api_key=k)


def test_it_ranks(ground: Ground) -> None:
    """Order, top_n, documents, tokens; with the key, since the server says that it has some."""
    model = ground.open(client).get_model(MODEL)
    answer = model.rerank(DOCUMENTS, QUERY, top_n=2, return_documents=True, return_len=True)
    expect([(one["index"], one["relevance_score"]) for one in answer["results"]], top_n=2)
    assert answer["results"][0]["document"]["text"] == DOCUMENTS[1]
    assert answer["meta"]["tokens"]["input_tokens"] > 0
    assert [call.path for call in ground.front.calls] == ["/v1/cluster/auth", f"/v1/models/{MODEL}", "/v1/rerank"]
    assert ground.last.sent_headers["authorization"] == f"Bearer {ground.key}"


def test_without_keys_none_is_sent(ground: Ground) -> None:
    """A server that asks for none says so."""
    ground.front.next("open", "open", "open")
    answer = ground.open(client).get_model(MODEL).rerank(DOCUMENTS, QUERY)
    expect((one["index"], one["relevance_score"]) for one in answer["results"])
    assert "authorization" not in ground.last.sent_headers


def test_errors_are_runtime_errors(ground: Ground) -> None:
    """400, 404, 429 and 503 with our sentence, 401 when it looks for the model."""
    model = ground.open(client).get_model(MODEL)
    with pytest.raises(RuntimeError, match="query must not be empty"):
        model.rerank(DOCUMENTS, "")
    with pytest.raises(RuntimeError, match="served: starter"):
        ground.open(client).get_model("no-such-model")
    with pytest.raises(RuntimeError, match="key"):
        ground.open(client, k="wrong").get_model(MODEL)
    ground.front.next("overloaded", "draining")
    for match in ("being ranked", "draining"):
        with pytest.raises(RuntimeError, match=match):
            model.rerank(DOCUMENTS, QUERY)

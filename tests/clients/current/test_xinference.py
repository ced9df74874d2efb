"""xinference_client: it asks whether the server has keys, then for the model, then for the ranking."""

from typing import Any

import pytest
from xinference_client import RESTfulClient

from clients.cases import DOCUMENTS, MODEL, QUERY, expect
from clients.harness import Harness
from clients.setups import client_setup

NOTE = "requests `/v1/cluster/auth` and `/v1/models/M` first; every error is a RuntimeError with the server's message"


@client_setup("xinference-client", dialect="Xinference", note=NOTE)
def client(H: str, k: str, M: str) -> Any:
    return RESTfulClient(H, api_key=k)


def test_it_ranks(harness: Harness) -> None:
    """Check order, top_n, documents and tokens. The client sends the key, because the server says that it has keys."""
    model = harness.open(client).get_model(MODEL)
    response = model.rerank(DOCUMENTS, QUERY, top_n=2, return_documents=True, return_len=True)
    expect([(result["index"], result["relevance_score"]) for result in response["results"]], top_n=2)
    assert response["results"][0]["document"]["text"] == DOCUMENTS[1]
    assert response["meta"]["tokens"]["input_tokens"] > 0
    assert [call.path for call in harness.recorder.calls] == ["/v1/cluster/auth", f"/v1/models/{MODEL}", "/v1/rerank"]
    assert harness.last.sent_headers["authorization"] == f"Bearer {harness.key}"


def test_no_key_is_sent_to_a_server_without_keys(harness: Harness) -> None:
    """The server reports that it has no keys."""
    harness.recorder.next("open", "open", "open")
    response = harness.open(client).get_model(MODEL).rerank(DOCUMENTS, QUERY)
    expect((result["index"], result["relevance_score"]) for result in response["results"])
    assert "authorization" not in harness.last.sent_headers


def test_errors_are_runtime_errors(harness: Harness) -> None:
    """400, 404, 429 and 503 have the message of the server; 401 comes when the client looks for the model."""
    model = harness.open(client).get_model(MODEL)
    with pytest.raises(RuntimeError, match="query must not be empty"):
        model.rerank(DOCUMENTS, "")
    with pytest.raises(RuntimeError, match="served: starter"):
        harness.open(client).get_model("no-such-model")
    with pytest.raises(RuntimeError, match="key"):
        harness.open(client, k="wrong").get_model(MODEL)
    harness.recorder.next("overloaded", "draining")
    for match in ("accepts at most", "draining"):
        with pytest.raises(RuntimeError, match=match):
            model.rerank(DOCUMENTS, QUERY)

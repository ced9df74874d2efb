"""OpenAI's list of models."""

from support.running import Served


async def test_models_are_listed_in_openais_form(edges: Served) -> None:
    """A model has additional fields of ours."""
    content = (await edges.http.get("/v1/models")).json()
    assert content["object"] == "list"
    assert [(entry["id"], entry["object"], entry["max_tokens"]) for entry in content["data"]] == [
        ("small", "model", 32)
    ]
    assert [entry["verdict"] for entry in content["data"]] == ["not verified"], "nobody has exported it"

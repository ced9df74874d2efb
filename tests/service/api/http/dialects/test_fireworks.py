"""Fireworks AI's dialect."""

from pathlib import Path
from typing import Any

import pytest

from rerank_service.encoding.template import Template
from support.http import post
from support.running import Served, running, served
from support.small import write_small_model

_PATH = "/inference/v1/rerank"


@pytest.mark.parametrize("name", ["small", "fireworks/small", "accounts/fireworks/models/small"])
async def test_prefix_is_not_a_part_of_the_name(edges: Served, name: str) -> None:
    """litellm puts `fireworks/` before each name. The ranking is under `data` too."""
    body = {"model": name, "query": "0", "documents": ["1", "3"], "top_n": 1, "return_documents": True}
    content = (await post(edges, body, _PATH)).json()
    assert content["object"] == "list"
    assert [(result["index"], result["document"]) for result in content["data"]] == [(1, "3")]
    assert [(result["index"], result["document"]) for result in content["results"]] == [(1, {"text": "3"})]


@pytest.mark.parametrize("extra", [{}, {"return_documents": None}])
async def test_results_contain_their_documents_by_default(edges: Served, extra: dict[str, Any]) -> None:
    """Fireworks AI documents true as the default."""
    body = {"query": "0", "documents": ["1", "3"], **extra}
    content = (await post(edges, body, _PATH)).json()
    assert [result["document"] for result in content["data"]] == ["3", "1"]
    assert [result["document"] for result in content["results"]] == [{"text": "3"}, {"text": "1"}]


async def test_documents_are_left_out_on_request(edges: Served) -> None:
    """`document` is absent, not null."""
    body = {"query": "0", "documents": ["1", "3"], "return_documents": False}
    content = (await post(edges, body, _PATH)).json()
    for name in ("data", "results"):
        assert [result.keys() for result in content[name]] == [{"index", "relevance_score"}] * 2


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"task": "look"}, "task"),
        ({"task": "look", "instruction": "read"}, "instruction"),
        ({"task": "look", "instruct": "read"}, "instruct"),
    ],
)
async def test_task_is_rejected_like_an_instruction(edges: Served, extra: dict[str, Any], name: str) -> None:
    """The template of the model has no slot for one. The error names the field that was used."""
    response = await post(edges, {"query": "0", "documents": ["1"], **extra}, _PATH)
    assert (response.status_code, response.json()["error"]["param"]) == (400, name)
    assert response.json()["message"].startswith(f"{name} is not supported by this model")


@pytest.mark.parametrize(
    ("extra", "logit"),
    [
        ({}, 3.0),
        ({"task": ""}, 3.0),
        ({"task": "5"}, 8.0),
        ({"task": "5", "instruction": "", "instruct": None}, 8.0),
        ({"task": "5", "instruction": "6"}, 9.0),
        ({"task": "5", "instruct": "6"}, 9.0),
    ],
)
async def test_task_is_an_instruction(tmp_path: Path, extra: dict[str, Any], logit: float) -> None:
    """The model adds its words. `instruction` and `instruct` override it, and an empty text is no task."""
    texts = ("[CLS]", "{instruction}", "{query}")
    bundle = write_small_model(tmp_path / "model", template=Template(before=texts, after=("[SEP]",)))
    async with running(bundle) as core, served(core) as edges:
        body = {"query": "0", "documents": ["3"], "raw_scores": True, **extra}
        (result,) = (await post(edges, body, _PATH)).json()["results"]
        assert result["relevance_score"] == logit


async def test_other_dialects_of_the_path_stay(edges: Served) -> None:
    """TEI's body has a list as response."""
    content = (await post(edges, {"query": "0", "texts": ["1", "3"]}, _PATH)).json()
    assert [rank["index"] for rank in content] == [1, 0]

"""Parts of the benchmark of shapes: descriptions, texts, results, goals and the page. Nothing is measured."""

import json
from dataclasses import replace
from pathlib import Path

import jinja2
import pytest
from tokenizers import Tokenizer

from bench.host import Host
from bench.model_folders import SOURCE
from bench.peers import NO_GENERATOR, peers_of_random_model
from bench.pool import Loss, Record
from bench.shapes.catalog import ARCHITECTURES, SHAPES
from bench.shapes.chart import draw
from bench.shapes.generator_files import chat_template, write_generator_files
from bench.shapes.goals import count, rows
from bench.shapes.measure import PEER
from bench.shapes.page import page
from bench.shapes.results import LengthResult, ShapeResult, SystemSpeed, load, store
from bench.shapes.rivals import Rivals
from bench.shapes.trained_tokenizers import byte_level
from bench.shapes.work import QUERY_TOKENS, TokenTexts
from bench.systems import SERVED, Kind, System, Use
from rerank_export.scoring.recipe_choice import recipe_named
from rerank_service.models.files import STARTER
from rerank_service.models.known_models import known_models

HOST = Host(cpu="Xeon", features=("avx512_vnni",), cores=2, python="3.11")


def system(name: str, use: Use, speed: float, ratio: float, *, counts: bool = True) -> SystemSpeed:
    """Return a setting of the peer."""
    return SystemSpeed(
        name=f"sentence-transformers {name}",
        use=use.value,
        precision="fp32",
        documents_per_second=speed,
        ratio=ratio,
        mean_loss=0.0 if counts else 0.1,
        worst_loss=0.0 if counts else 0.3,
        ranks_as_well=counts,
    )


def result() -> ShapeResult:
    """Return a result with one setting that is fast but ranks worse."""
    systems = (
        system("torch", Use.AS_USERS_DO, 10.0, 3.0),
        system("torch", Use.AT_ITS_BEST, 25.0, 1.2),
        system("OpenVINO static", Use.AT_ITS_BEST, 60.0, 0.5, counts=False),
    )
    return ShapeResult(
        shape="minilm-l6",
        model="cross-encoder/ms-marco-MiniLM-L6-v2",
        source="https://huggingface.co/x",
        tokenizer="WordPiece",
        scale=1.0,
        date="2026-11-26",
        load_average=0.2,
        engine="int8 on OpenVINO",
        why="fast",
        mean_loss=0.0,
        parameters=22_700_000,
        weight_bytes=22_700_000,
        peak_bytes=200_000_000,
        proportional_bytes=150_000_000,
        own_bytes=120_000_000,
        ready_seconds=1.2,
        lengths=(LengthResult(tokens=40, ours=30.0, systems=systems),),
        failed={"ONNX | int8": "no memory"},
    )


@pytest.mark.parametrize("name", SHAPES)
def test_sizes_are_those_of_the_known_model(name: str) -> None:
    """The list of known models has the same numbers; and a shape names a module that exists."""
    shape = SHAPES[name]
    assert shape.architecture in ARCHITECTURES
    assert shape.source.startswith(f"https://huggingface.co/{shape.model}/")
    known = next(model for model in known_models().models if model.name.lower() == shape.model.lower())
    assert (known.layers, known.hidden_size) == (shape.layers, shape.config["hidden_size"])
    assert known.vocabulary == shape.config["vocab_size"]


def test_fewer_layers_are_in_the_label_and_in_the_scale() -> None:
    """More layers than published are not built."""
    shape = SHAPES["bge-reranker-v2-m3"]
    smaller = shape.with_layers(6)
    assert (smaller.layers, smaller.scale, smaller.label) == (6, 4.0, "bge-reranker-v2-m3 (6 of 24 layers)")
    assert smaller.with_layers(3).label == "bge-reranker-v2-m3 (3 of 24 layers)"
    assert shape.with_layers(99) is shape.with_layers(None) is shape
    assert shape.label == "bge-reranker-v2-m3"


@pytest.mark.parametrize("tokens", [40, 130, 500])
def test_texts_have_the_number_of_tokens_and_differ(tokens: int) -> None:
    """Also after the passages have started again."""
    texts = TokenTexts(STARTER / "tokenizer.json")
    requests = texts.requests(80_000 // tokens // 10, 10, tokens).requests
    documents = [document for request in requests for document in request.documents]
    assert len(set(documents)) == len(documents)
    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    for expected, sample in ((tokens, documents[::50]), (QUERY_TOKENS, [request.query for request in requests[:20]])):
        lengths = [len(encoded.ids) for encoded in tokenizer.encode_batch(sample, add_special_tokens=False)]
        assert all(abs(length - expected) <= 3 for length in lengths), lengths


def test_goals_count_only_settings_that_rank_as_well() -> None:
    """The fast setting that loses relevance is not the best one."""
    best, in_use, memory = rows(result(), has_amx=False)
    assert (best.value, best.holds, best.detail) == (1.2, False, "sentence-transformers torch fp32")
    assert (in_use.value, in_use.bound, in_use.holds) == (3.0, 2.5, True)
    assert rows(result(), has_amx=True)[1].holds is False
    assert memory.value == pytest.approx(200 / 22.7)
    assert count((best, in_use, memory)) == "1 met, 2 missed"
    nothing = replace(result(), lengths=(LengthResult(tokens=40, ours=0.0, systems=()),))
    assert rows(nothing, has_amx=False)[0].holds is None
    assert "2 not measured" in count(rows(nothing, has_amx=False))


def test_settings_that_cannot_be_the_fastest_get_one_round() -> None:
    """A much slower one than another of its use, at that length; and one whose rankings do not count."""
    good, bad = Loss(mean=0.0, worst=0.0, queries=20), Loss(mean=0.1, worst=0.3, queries=20)
    torch, onnx, default = (
        Record(system=System(name=name, peer=PEER, kind=Kind.RUNNER, use=use), loss=good)
        for name, use in (("torch", Use.AT_ITS_BEST), ("ONNX", Use.AT_ITS_BEST), ("torch", Use.AS_USERS_DO))
    )
    rivals = Rivals(Record(system=SERVED, loss=good))
    assert rivals.may_be_fastest(torch, 40, 100.0)
    rivals.add(torch, 40, 100.0)
    assert [rivals.may_be_fastest(onnx, 40, speed) for speed in (60.0, 80.0)] == [False, True]
    assert rivals.may_be_fastest(onnx, 500, 60.0)
    assert rivals.may_be_fastest(default, 40, 20.0)
    ruinous = replace(onnx, loss=bad)
    assert not rivals.may_be_fastest(ruinous, 40, 300.0)
    rivals.add(ruinous, 40, 300.0)
    assert rivals.may_be_fastest(onnx, 40, 80.0)
    assert rivals.counts(replace(default, loss=bad))


def test_results_are_kept_in_a_file(tmp_path: Path) -> None:
    """An interrupted run goes on after the shapes that it has measured."""
    path = tmp_path / "results" / "minilm-l6.json"
    assert load(path) is None
    store(result(), path)
    assert load(path) == result()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_page_marks_goals_and_names_what_did_not_count(tmp_path: Path) -> None:
    """A busy machine is named, and cells cannot break the table."""
    text = page([result()], HOST)
    assert "Goals: 1 met, 2 missed." in text
    assert (
        "| minilm-l6 | 40 | 30.0 | int8 on OpenVINO | 25.0 (torch fp32) | 1.20 | 10.0 (torch fp32) | **3.00** |" in text
    )
    assert "| minilm-l6 | 23 M | 23 | 200 | 8.81 | 150 | 120 | 5.29 | 1.2 |" in text
    assert "OpenVINO static fp32: does not count: mean loss 0.1000" in text
    assert "did not run: no memory" in text
    assert "Preliminary" not in text
    assert "**Preliminary**" in page([replace(result(), load_average=4.0)], HOST)
    draw([result()], "title", tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 1_000
    assert json.dumps(result().as_json())


def test_answers_of_a_generator_are_one_token() -> None:
    """A trained vocabulary may lack them. Other texts are encoded as before."""
    answers = ("yes", "no", "supercalifragilistic")
    plain, tokenizer = byte_level(30_000, ("<|end|>",)), byte_level(30_000, ("<|end|>",), answers)
    assert tokenizer.get_vocab_size() == 30_000
    assert [tokenizer.encode(answer).tokens for answer in answers] == [[answer] for answer in answers]
    text = "Which planet has no moon, and what causes the tides?"
    assert tokenizer.encode(text).tokens == plain.encode(text).tokens


def test_chat_template_writes_the_prompt_of_the_recipe() -> None:
    """sentence-transformers then scores the same text as this server, including the line ends at the end."""
    shape = SHAPES["qwen3-reranker-0.6b"]
    recipe = recipe_named(shape.template or "")
    assert recipe is not None
    assert recipe.published is not None
    messages = [{"role": "query", "content": 'moon\'s "phases"\n'}, {"role": "document", "content": "{{ tides }}"}]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    rendered = environment.from_string(chat_template(shape)).render(messages=messages, add_generation_prompt=True)
    contents = [message["content"] for message in messages]
    assert rendered == recipe.published.filled(contents[0], contents[1], recipe.template.instruction)


def test_onnx_of_a_generator_is_not_tried(tmp_path: Path) -> None:
    """The table gives the reason."""
    write_generator_files(tmp_path / SOURCE, (1, 2))
    systems = [system for system in peers_of_random_model(tmp_path, HOST) if system.peer == PEER]
    assert {system.name for system in systems if system.cannot_run == NO_GENERATOR} == {"sentence-transformers ONNX"}
    assert any(not system.cannot_run for system in systems)

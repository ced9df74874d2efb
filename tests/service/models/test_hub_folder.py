"""Hub folders: served unchanged, or rejected with a message that says why. Covers loading as well."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from rerank_service.engine.runtime import ort
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import open_bundle
from rerank_service.models.variants.derive import identity
from support.hub_folder import (
    DOCUMENTS,
    edit_graph,
    rejection,
    served_logits,
    with_labels,
    without_token_types,
    write_hub_folder,
    write_json,
)
from support.small import logit, set_pair_format, write_small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small model without a manifest, as optimum writes it."""
    return write_hub_folder(tmp_path / "small")


def _with_weights_beside(folder: Path) -> None:
    """Move the graph to onnx/ with its weights in another file, as optimum and the hub do."""
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:  # only raw bytes can be external
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    (folder / "onnx").mkdir()
    (folder / "model.onnx").unlink()
    graph = folder / "onnx" / "model.onnx"
    onnx.save_model(model, graph, save_as_external_data=True, location="model.onnx_data", size_threshold=64)


async def test_weights_beside_the_graph_are_loaded(folder: Path) -> None:
    """If they are missing, the message names them."""
    _with_weights_beside(folder)
    assert await served_logits(folder) == [logit(document) for document in DOCUMENTS]
    (folder / "onnx" / "model.onnx_data").unlink()
    assert "onnx/model.onnx has its weights in model.onnx_data, which is missing" in rejection(folder)


def _place(folder: Path, *names: str) -> None:
    """Move the graph to other names."""
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "model.onnx", folder / name)
    (folder / "model.onnx").unlink()


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["onnx/model.onnx"], "onnx/model.onnx"),
        (["onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_fp16.onnx"], "onnx/model.onnx"),
        (["onnx/model.onnx", "onnx/model_qint8_avx512.onnx", "onnx/model_O3.onnx"], "onnx/model.onnx"),
        (["model_optimized.onnx"], "model_optimized.onnx"),
        (["onnx/model_quantized.onnx"], "onnx/model_quantized.onnx"),
    ],
    ids=str,
)
def test_model_onnx_or_the_only_graph_is_chosen(names: list[str], chosen: str, folder: Path) -> None:
    """Other graphs are made from model.onnx."""
    _place(folder, *names)
    assert open_bundle(folder).graph == folder / chosen


def test_one_of_several_graphs_must_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path, which may be relative. The model has the name of the folder."""
    _place(folder, "onnx/model_fp16.onnx", "onnx/model_quantized.onnx")
    with pytest.raises(BundleInvalid, match="several graphs and none is called") as caught:
        open_bundle(folder)
    assert "(onnx/model_fp16.onnx, onnx/model_quantized.onnx): choose one" in str(caught.value)
    assert f"as in --model {folder}/onnx/model_fp16.onnx" in str(caught.value)
    bundle = open_bundle(folder / "onnx" / "model_fp16.onnx")
    assert (bundle.manifest.name, bundle.graph.name) == ("small", "model_fp16.onnx")
    assert (bundle.manifest.variants[0].precision, bundle.manifest.variants[0].weights) == ("fp32", "fp32")
    monkeypatch.chdir(folder / "onnx")
    assert open_bundle(Path("model_quantized.onnx")).graph.samefile(folder / "onnx" / "model_quantized.onnx")


def _cached(folder: Path, blobs: Path, snapshot: Path) -> Path:
    """Return a folder of links to copies of the files, as in the cache of the hub's client."""
    blobs.mkdir()
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(shutil.copy(path, blobs / str(number)))
    return snapshot


async def test_hub_cache_is_served(folder: Path, tmp_path: Path) -> None:
    """By the folder of a snapshot, or by a graph in it. Files are links into another folder."""
    _with_weights_beside(folder)
    snapshot = _cached(folder, tmp_path / "blobs", tmp_path / "snapshot")
    assert open_bundle(snapshot / "onnx" / "model.onnx").graph == snapshot / "onnx" / "model.onnx"
    if ort.__version__ == "1.24.1":
        assert "make a copy without links, with cp -rL" in rejection(snapshot)
        snapshot = Path(shutil.copytree(snapshot, tmp_path / "copy"))
    assert await served_logits(snapshot) == [logit(document) for document in DOCUMENTS]


@pytest.mark.parametrize(("cached", "source"), [("models--org--a-model", "org/a-model"), ("models--model", "model")])
def test_source_of_a_snapshot_is_its_hub_id(folder: Path, tmp_path: Path, cached: str, source: str) -> None:
    """The name of its folder is a commit. A link to the snapshot has the same source."""
    snapshot = tmp_path / "hub" / cached / "snapshots" / "c0ffee"
    shutil.copytree(folder, snapshot)
    (tmp_path / "current").symlink_to(snapshot)
    assert [open_bundle(each).manifest.source for each in (snapshot, tmp_path / "current")] == [source, source]


def test_graph_of_a_bundle_is_rejected_as_model(tmp_path: Path) -> None:
    """Otherwise its manifest would be ignored."""
    bundle = write_small_model(tmp_path / "small")
    with pytest.raises(BundleInvalid, match="is part of a bundle: set --model to its folder"):
        open_bundle(bundle.graph)


async def test_score_of_two_labels_is_the_softmax_of_the_relevant_one(folder: Path) -> None:
    """transformers computes the same. The names of the labels show which one is relevant."""
    edit_graph(folder, with_labels(2))
    write_json(folder / "config.json", id2label={"0": "NOT_RELEVANT", "1": "RELEVANT"})
    assert await served_logits(folder) == [logit(document) for document in DOCUMENTS]
    write_json(folder / "config.json", id2label={"0": "yes", "1": "no"})
    assert await served_logits(folder) == [-logit(document) for document in DOCUMENTS]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            {"num_labels": 2},
            "2 labels (0 LABEL_0, 1 LABEL_1), and their names do not show which one means relevant: name them",
        ),
        (
            {"id2label": {"0": "a", "1": "b", "2": "c"}},
            "3 labels (0 a, 1 b, 2 c); a cross-encoder has label 0, or labels 0 and 1",
        ),
        ({"id2label": {"1": "a", "2": "b"}}, "2 labels (1 a, 2 b)"),
        ({"num_labels": 1000}, "1,000 labels (0 LABEL_0, 1 LABEL_1, 2 LABEL_2, 3 LABEL_3, …); a cross-encoder has"),
        ({"id2label": {"0": "a\nb", "1": "c" * 10**6}}, f"2 labels (0 a b, 1 {'c' * 100}…), and their names"),
        (
            {"architectures": ["BertForTokenClassification"]},
            "is a BertForTokenClassification, which does not score pairs: use a cross-encoder",
        ),
        ({"architectures": ["GPT2LMHeadForCausalLM"]}, "is a decoder (GPT2LMHeadForCausalLM). It needs a template"),
        ({"model_type": "qwen3"}, "is a decoder (qwen3). It needs a template, which its files do not state: make a"),
        ({"model_type": "smollm3"}, "is a decoder (smollm3). It needs a template"),
        ({"model_type": "qwen3_moe"}, "is a decoder (qwen3_moe). It needs a template"),
        (
            {"model_type": "own", "architectures": ["LlamaBidirectionalForSequenceClassification"]},
            "is a decoder (LlamaBidirectionalForSequenceClassification). It needs a template",
        ),
    ],
    ids=str,
)
def test_model_of_another_task_is_rejected(config: Mapping[str, Any], reason: str, folder: Path) -> None:
    """By its config.json, before the graph is loaded."""
    write_json(folder / "config.json", **config)
    assert reason in rejection(folder)


def test_embedding_model_of_sentence_transformers_is_rejected(folder: Path) -> None:
    """Its modules.json has a pooling step; that of a CrossEncoder has none."""
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.base.modules.transformer.Transformer"}]')
    assert open_bundle(folder)
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling"}]')
    assert "is an embedding model (modules.json pools tokens)" in rejection(folder)


@pytest.mark.parametrize(
    ("pair", "between"), [("$A $B:1", "nothing"), ("[CLS] $A [CLS] $B:1", "only [CLS]")], ids=["nothing", "first token"]
)
def test_tokenizer_that_joins_query_and_document_is_rejected(pair: str, between: str, folder: Path) -> None:
    """Whatever the type of the model: it was trained with a template that the folder does not have."""
    set_pair_format(folder, pair)
    assert f"tokenizer.json puts {between} between the query and the document of a pair. So the model needs a " in (
        rejection(folder)
    )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "config_sentence_transformers.json",
            {"prompts": {"q": "Find"}, "default_prompt_name": "q"},
            "a default prompt",
        ),
        (
            "sentence_bert_config.json",
            {"modality_config": {"text": {}, "message": {}}},
            "writes pairs with a chat templ",
        ),
    ],
    ids=["prompt", "chat template"],
)
def test_prompt_of_sentence_transformers_is_rejected(
    name: str, content: Mapping[str, Any], reason: str, folder: Path
) -> None:
    """The graph does not contain it. Without modules.json the files are not used."""
    write_json(folder / name, **content)
    assert open_bundle(folder)
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.base.modules.transformer.Transformer"}]')
    assert reason in rejection(folder)
    write_json(folder / name, default_prompt_name=None, modality_config=None)
    assert open_bundle(folder)


def test_missing_graph_or_tokenizer_has_its_own_message(folder: Path) -> None:
    """Weights of PyTorch without a graph; a tokenizer in an older format."""
    (folder / "tokenizer.json").unlink()
    assert rejection(folder).endswith("has no tokenizer.json")
    (folder / "vocab.txt").touch()
    assert "has no tokenizer.json, and vocab.txt does not fully define the tokenizer" in rejection(folder)
    (folder / "model.onnx").rename(folder / "model.safetensors")
    assert "has a model's weights and no ONNX graph: make a bundle with `rerank export`" in rejection(folder)


def test_hub_folder_is_served(folder: Path) -> None:
    """Both layouts of the hub, with the token limit of config.json."""
    write_json(
        folder / "config.json", num_labels=1, max_position_embeddings=77, pad_token_id=3, _name_or_path="/home/alice"
    )
    plain = open_bundle(folder)
    assert plain.manifest.source == "small", "callers see it, and a path of the training may be private"
    assert (plain.manifest.name, plain.manifest.max_tokens, plain.manifest.pad_id) == ("small", 77, 3)
    assert plain.digest == ""
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / "onnx" / "model.onnx")
    assert open_bundle(folder).graph == folder / "onnx" / "model.onnx"


def test_only_files_of_the_model_count_as_changed(folder: Path) -> None:
    """A log beside the graph grows. The graph, its weights and the configuration must stay."""
    _with_weights_beside(folder)
    log = folder / "onnx" / "server.log"
    log.write_text("started\n")
    bundle = open_bundle(folder / "onnx" / "model.onnx")
    log.write_text("started\nserved\n")
    bundle.check_unchanged()
    for name in ("config.json", "tokenizer.json", "onnx/model.onnx", "onnx/model.onnx_data"):
        bundle = open_bundle(folder / "onnx" / "model.onnx")
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before + b" ")
        with pytest.raises(BundleInvalid, match="was changed while the model was loaded"):
            bundle.check_unchanged()
        (folder / name).write_bytes(before)


def test_identity_covers_what_the_configuration_says(folder: Path) -> None:
    """The sign of a score with two labels, for example. A finished part of `rerank batch` must not keep the old one."""
    edit_graph(folder, with_labels(2))
    write_json(folder / "config.json", id2label={"0": "irrelevant", "1": "relevant"})
    before = identity(open_bundle(folder))
    write_json(folder / "config.json", id2label={"0": "relevant", "1": "irrelevant"})
    assert identity(open_bundle(folder)) != before


def test_folder_without_a_model_is_rejected_with_the_next_step(tmp_path: Path) -> None:
    """A missing folder, an empty one, and folders with invalid or missing files."""
    with pytest.raises(BundleInvalid, match="is not a folder"):
        open_bundle(tmp_path / "absent")
    with pytest.raises(BundleInvalid, match="rerank export"):
        open_bundle(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(BundleInvalid, match=r"config\.json is missing"):
        open_bundle(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BundleInvalid, match=r"config\.json is not JSON"):
        open_bundle(tmp_path)
    (tmp_path / "config.json").write_text('{"id2label": {"0": "a", "1": "b"}}')
    with pytest.raises(BundleInvalid, match="2 labels"):
        open_bundle(tmp_path)
    (tmp_path / "config.json").write_text('{"id2label": {"0": "a"}}')
    with pytest.raises(BundleInvalid, match=r"no tokenizer\.json"):
        open_bundle(tmp_path)


async def test_token_types_that_the_model_does_not_get_are_rejected(folder: Path) -> None:
    """optimum's graph of a BERT has the input in any case, and fills it with 0."""
    set_pair_format(folder, "[CLS] $A [SEP] $B:1 [SEP]:1")
    assert open_bundle(folder)
    write_json(folder / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    message = rejection(folder)
    assert "has the input token_type_ids, which model_input_names in" in message
    write_json(folder / "tokenizer_config.json", model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    assert open_bundle(folder)


def test_graph_without_the_token_types_of_the_model_is_rejected(folder: Path) -> None:
    """A BERT gets them, unless the tokenizer's configuration leaves them out, or the tokenizer gives only type 0."""
    write_json(folder / "config.json", num_labels=1, type_vocab_size=2)
    assert open_bundle(folder)
    edit_graph(folder, without_token_types)
    for names in (None, ["input_ids", "token_type_ids", "attention_mask"]):
        write_json(folder / "tokenizer_config.json", model_input_names=names)
        message = rejection(folder)
        assert "lacks the input token_type_ids, but type_vocab_size in" in message
        assert "config.json is 2, and the tokenizer gives other types than 0: export the model" in message
    write_json(folder / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    assert open_bundle(folder)
    (folder / "tokenizer_config.json").unlink()
    write_json(folder / "config.json", num_labels=1, type_vocab_size=1)
    assert open_bundle(folder)
    write_json(folder / "config.json", num_labels=1, type_vocab_size=2)
    set_pair_format(folder, "[CLS] $A [SEP] $B [SEP]")
    assert open_bundle(folder)

"""Folders as the hub, optimum and sentence-transformers have them: served as they are, or a line that says why not."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.kinds import Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import MANIFEST
from rerank_service.models.hub_config import window
from rerank_service.models.loading import ModelOptions, load_selected
from rerank_service.models.tuning.startup import EngineRequest
from support.running import running
from support.small import logit, write_small_model

DOCUMENTS = ["3 4", "50", "", "7 7 7 7"]
Edit = Callable[[onnx.ModelProto], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small model as optimum would write it."""
    folder = write_small_model(tmp_path / "small").folder
    (folder / MANIFEST).unlink()
    return folder


def _write(path: Path, **content: object) -> None:
    path.write_text(json.dumps(content))


def _edit(folder: Path, edit: Edit) -> None:
    model = onnx.load(folder / "model.onnx")
    edit(model)
    onnx.save(model, folder / "model.onnx")


def _last(model: onnx.ModelProto, kind: str, *inputs: str, output: onnx.ValueInfoProto, **attributes: Any) -> None:
    """Put a node behind what was the output."""
    model.graph.node.append(helper.make_node(kind, ["logits", *inputs], [output.name], **attributes))
    del model.graph.output[:]
    model.graph.output.append(output)


async def _logits(folder: Path) -> list[float]:
    async with running(open_bundle(folder)) as core:
        ranking = await core.rank("1", *DOCUMENTS)
    found = {document.index: document.logit for document in ranking}
    return [found[at] for at in range(len(DOCUMENTS))]


def _as_int32(model: onnx.ModelProto) -> None:
    for put in model.graph.input:
        put.type.tensor_type.elem_type = TensorProto.INT32


def _as_floats(model: onnx.ModelProto) -> None:
    """The mask alone; it is multiplied with the types, which are then floats too."""
    for put in model.graph.input:
        if put.name != "input_ids":
            put.type.tensor_type.elem_type = TensorProto.FLOAT


def _called_otherwise(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])
    _last(model, "Identity", output=output)


def _flat(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows"])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "last"))
    _last(model, "Squeeze", "last", output=output)


def _shape_untold(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.ClearField("shape")


def _in_fp16(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("half", TensorProto.FLOAT16, ["rows", 1])
    _last(model, "Cast", output=output, to=TensorProto.FLOAT16)


def _with_hidden_states(model: onnx.ModelProto) -> None:
    hidden = helper.make_tensor_value_info("worths", TensorProto.FLOAT, ["rows", "length"])
    model.graph.output.insert(0, hidden)


@pytest.mark.parametrize(
    "edit", [_as_int32, _as_floats, _called_otherwise, _flat, _shape_untold, _in_fp16, _with_hidden_states]
)
async def test_a_graph_of_another_tool_is_served(edit: Edit, folder: Path) -> None:
    """Other types, other names, other shapes, more outputs: the same logits."""
    _edit(folder, edit)
    assert await _logits(folder) == [logit(document) for document in DOCUMENTS]


async def test_a_graph_without_token_types_is_served(tmp_path: Path) -> None:
    """As RoBERTa's kin have them."""
    folder = write_small_model(tmp_path / "small").folder
    (folder / MANIFEST).unlink()

    def edit(model: onnx.ModelProto) -> None:
        model.graph.node[1].input[1] = "attention_mask"
        del model.graph.input[2]

    _edit(folder, edit)
    assert await _logits(folder) == [1 + logit(document) for document in DOCUMENTS], "the query counts too"


def _with_weights_beside(folder: Path) -> None:
    """As optimum and the hub have it."""
    model = onnx.load(folder / "model.onnx")
    for one in model.graph.initializer:  # only raw bytes can lie elsewhere
        one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one), one.name))
    (folder / "onnx").mkdir()
    (folder / "model.onnx").unlink()
    graph = folder / "onnx" / "model.onnx"
    onnx.save_model(model, graph, save_as_external_data=True, location="model.onnx_data", size_threshold=64)


async def test_weights_beside_the_graph_are_found(folder: Path) -> None:
    """Where they are missing the line names them."""
    _with_weights_beside(folder)
    assert await _logits(folder) == [logit(document) for document in DOCUMENTS]
    (folder / "onnx" / "model.onnx_data").unlink()
    assert "onnx/model.onnx has its weights in model.onnx_data, which is not there" in _refused(folder)


def _hidden_states_alone(model: onnx.ModelProto) -> None:
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["rows", "length", 1])
    )
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 8
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 8), np.float32), "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), "third"))
    model.graph.node.append(helper.make_node("Unsqueeze", ["worths", "third"], ["each"]))
    model.graph.node.append(helper.make_node("MatMul", ["each", "wide"], ["last_hidden_state"]))


def _of_labels(labels: int) -> Edit:
    """Logits 0, then the model's own, then others."""

    def edit(model: onnx.ModelProto) -> None:
        factors = np.arange(labels, dtype=np.float32)[None]
        model.graph.initializer.append(numpy_helper.from_array(factors, "factors"))
        output = helper.make_tensor_value_info("each", TensorProto.FLOAT, ["rows", labels])
        _last(model, "MatMul", "factors", output=output)

    return edit


def _of_one_length(model: onnx.ModelProto) -> None:
    for put in model.graph.input:
        put.type.tensor_type.shape.dim[0].dim_value = 1
        put.type.tensor_type.shape.dim[1].dim_value = 16


def _of_classes(model: onnx.ModelProto) -> None:
    output = helper.make_tensor_value_info("class", TensorProto.INT64, ["rows", 1])
    _last(model, "Cast", output=output, to=TensorProto.INT64)


def _with_a_past(model: onnx.ModelProto) -> None:
    for at in range(8):
        model.graph.input.append(helper.make_tensor_value_info(f"past.{at}", TensorProto.FLOAT, ["rows"]))


def _of_words(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    model.graph.node[0].CopyFrom(helper.make_node("Cast", ["attention_mask"], ["worths"], to=TensorProto.FLOAT))
    model.graph.node[5].CopyFrom(helper.make_node("Cast", ["attention_mask"], ["nans"], to=TensorProto.FLOAT))


def _refused(folder: Path) -> str:
    """The line that says why."""
    with pytest.raises(BundleInvalid) as caught:
        load_selected(ModelOptions(folder, folder.parent / "cache"))
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            _hidden_states_alone,
            "last_hidden_state of the shape (rows, length, 8), something for each token, as embedding",
        ),
        (_of_labels(3), "each of the shape (rows, 3): a cross-encoder gives one logit a pair, or two"),
        (_of_labels(2), "tells of 1 a pair: name its labels there as id2label"),
        (_of_one_length, "made for input_ids of the shape (1, 16) alone: export it with dynamic axes"),
        (_with_a_past, "wants inputs that a cross-encoder has not: past.0, past.1, past.2, past.3, …"),
        (_of_classes, "gives class as tensor(int64), which logits are not"),
        (_of_words, "wants input_ids as tensor(string), which token ids are not"),
    ],
)
def test_a_graph_that_is_no_cross_encoders_is_refused(edit: Edit, reason: str, folder: Path) -> None:
    """By what it takes or gives."""
    _edit(folder, edit)
    assert reason in _refused(folder)


def _place(folder: Path, *names: str) -> None:
    """The graph under other names instead."""
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
def test_the_graph_is_chosen(names: list[str], chosen: str, folder: Path) -> None:
    """The one that others are made of, wherever it lies; or the only one."""
    _place(folder, *names)
    assert open_bundle(folder).graph == folder / chosen


def test_of_several_graphs_one_has_to_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path, which may be relative; the model is then called what the folder is."""
    _place(folder, "onnx/model_fp16.onnx", "onnx/model_quantized.onnx")
    with pytest.raises(BundleInvalid, match="several graphs and none is called") as caught:
        open_bundle(folder)
    assert f"as {folder}/onnx/model_fp16.onnx (onnx/model_fp16.onnx, onnx/model_quantized.onnx)" in str(caught.value)
    bundle = open_bundle(folder / "onnx" / "model_fp16.onnx")
    assert (bundle.manifest.name, bundle.graph.name) == ("small", "model_fp16.onnx")
    assert (bundle.manifest.variants[0].precision, bundle.manifest.variants[0].weights) == ("fp32", "fp16")
    monkeypatch.chdir(folder / "onnx")
    assert open_bundle(Path("model_quantized.onnx")).graph.samefile(folder / "onnx" / "model_quantized.onnx")


def _cached(folder: Path, blobs: Path, snapshot: Path) -> Path:
    """As the hub's client keeps files: links to others in another folder."""
    blobs.mkdir()
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(shutil.copy(path, blobs / str(number)))
    return snapshot


async def test_the_hubs_cache_is_served(folder: Path, tmp_path: Path) -> None:
    """The folder of a snapshot, or a graph in it, its weights beside it."""
    _with_weights_beside(folder)
    snapshot = _cached(folder, tmp_path / "blobs", tmp_path / "snapshot")
    assert open_bundle(snapshot / "onnx" / "model.onnx").graph == snapshot / "onnx" / "model.onnx"
    assert await _logits(snapshot) == [logit(document) for document in DOCUMENTS]


def test_a_graph_of_a_bundle_is_not_served_alone(tmp_path: Path) -> None:
    """Its manifest would not count."""
    bundle = write_small_model(tmp_path / "small")
    with pytest.raises(BundleInvalid, match="is part of a bundle: give its folder"):
        open_bundle(bundle.graph)


def test_a_quantized_graph_runs_as_it_is(folder: Path, tmp_path: Path) -> None:
    """On the CPU, called what it is; nothing is derived of it, and nothing else promised."""
    _place(folder, "onnx/model_quantized.onnx")
    options = ModelOptions(folder, tmp_path / "cache")
    model = load_selected(options)
    assert (model.info.precision, model.info.provider) == ("int8", "CPUExecutionProvider")
    with pytest.raises(BundleInvalid, match=r"--precision fp32 needs the model.s fp32 graph"):
        load_selected(ModelOptions(folder, tmp_path / "cache", EngineRequest(Provider.AUTO, Precision.FP32)))


async def test_two_labels_are_softmaxed(folder: Path) -> None:
    """As transformers would: the probability of the label that means relevant, told by the labels' names."""
    _edit(folder, _of_labels(2))
    _write(folder / "config.json", id2label={"0": "NOT_RELEVANT", "1": "RELEVANT"})
    assert await _logits(folder) == [logit(document) for document in DOCUMENTS]
    _write(folder / "config.json", id2label={"0": "yes", "1": "no"})
    assert await _logits(folder) == [-logit(document) for document in DOCUMENTS]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"num_labels": 2}, "2 labels (0 LABEL_0, 1 LABEL_1), and it is not clear which means relevant: call them"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 labels (0 a, 1 b, 2 c); a cross-encoder served here has one"),
        ({"id2label": {"1": "a", "2": "b"}}, "2 labels (1 a, 2 b)"),
        ({"architectures": ["BertForTokenClassification"]}, "is a BertForTokenClassification, no cross-encoder"),
        ({"architectures": ["GPT2LMHeadForCausalLM"]}, "is a decoder (GPT2LMHeadForCausalLM), which is asked in words"),
        ({"model_type": "qwen3"}, "is a decoder (qwen3), which is asked in words that its files do not state: make a"),
    ],
    ids=str,
)
def test_another_kind_of_model_is_refused(config: Mapping[str, Any], reason: str, folder: Path) -> None:
    """By its config.json, before the graph is loaded."""
    _write(folder / "config.json", **config)
    assert reason in _refused(folder)


def test_an_embedding_model_of_sentence_transformers_is_refused(folder: Path) -> None:
    """Its modules pool tokens; those of a CrossEncoder do not."""
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.base.modules.transformer.Transformer"}]')
    assert open_bundle(folder)
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling"}]')
    assert "is an embedding model (modules.json pools tokens)" in _refused(folder)


def test_what_is_not_exported_is_told_apart(folder: Path) -> None:
    """Weights of PyTorch; a tokenizer in an older form."""
    (folder / "tokenizer.json").unlink()
    assert _refused(folder).endswith("has no tokenizer.json")
    (folder / "vocab.txt").touch()
    assert "has no tokenizer.json, and vocab.txt alone does not say how texts are split" in _refused(folder)
    (folder / "model.onnx").rename(folder / "model.safetensors")
    assert "has a model's weights and no ONNX graph: make a bundle with `rerank export`" in _refused(folder)


@pytest.mark.parametrize(
    ("files", "pad"),
    [
        ({"config.json": {"pad_token_id": 7}, "tokenizer_config.json": {"pad_token": "9"}}, 7),
        ({"tokenizer_config.json": {"pad_token": "9"}}, 13),
        ({"tokenizer_config.json": {"pad_token": {"content": "9"}}}, 13),
        ({"tokenizer_config.json": {"pad_token": "not a word"}}, 0),
        ({"config.json": {"model_type": "roberta"}}, 1),
        ({}, 0),
    ],
    ids=str,
)
def test_the_pad_id_is_found(files: Mapping[str, Mapping[str, object]], pad: int, folder: Path) -> None:
    """The model's word, the tokenizer's, what the family takes for granted."""
    for name, content in files.items():
        _write(folder / name, **content)
    assert open_bundle(folder).manifest.pad_id == pad


def test_the_pad_id_of_the_tokenizers_own_padding_is_found(folder: Path) -> None:
    """As older tools wrote it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=5)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert open_bundle(folder).manifest.pad_id == 5


def test_a_plain_folder_is_served(folder: Path) -> None:
    """Both layouts of the hub, with the window taken from the config."""
    (folder / "config.json").write_text('{"num_labels": 1, "max_position_embeddings": 77, "pad_token_id": 3}')
    plain = open_bundle(folder)
    assert (plain.manifest.name, plain.manifest.max_tokens, plain.manifest.pad_id) == ("small", 77, 3)
    assert plain.digest == ""
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / "onnx" / "model.onnx")
    assert open_bundle(folder).graph == folder / "onnx" / "model.onnx"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("config.json", {"max_position_embeddings": "abc"}, "max_position_embeddings"),
        ("config.json", {"max_position_embeddings": -5}, "max_position_embeddings"),
        ("config.json", {"max_position_embeddings": 4}, "window of 4 tokens"),
        ("config.json", {"max_position_embeddings": 1e400}, "max_position_embeddings"),
        ("config.json", {"pad_token_id": "x"}, "pad_token_id"),
        ("config.json", {"pad_token_id": -1}, "pad_token_id"),
        ("config.json", {"pad_token_id": 2**31}, "pad_token_id"),
        ("config.json", {"id2label": 5}, "id2label"),
        ("config.json", {"num_labels": "one"}, "num_labels"),
        ("config.json", {"architectures": 5}, "architectures"),
        ("config.json", {"architectures": [5]}, "architectures"),
        ("config.json", {"_name_or_path": []}, "_name_or_path"),
        ("config.json", {"model_type": "mpnet", "max_position_embeddings": 9, "pad_token_id": 7}, "window of 1 token;"),
        ("tokenizer_config.json", {"model_max_length": "abc"}, "model_max_length"),
        ("tokenizer_config.json", {"model_max_length": -1}, "model_max_length"),
        ("tokenizer_config.json", {"model_max_length": float("nan")}, "model_max_length"),
    ],
)
def test_a_plain_folders_nonsense_is_refused(folder: Path, name: str, change: dict[str, object], words: str) -> None:
    """In one line that names the config and what is wrong in it."""
    (folder / name).write_text(json.dumps({"num_labels": 1} | change))
    with pytest.raises(BundleInvalid, match=rf"/{name}.*{words}") as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)


def test_a_plain_folders_config_must_be_an_object(folder: Path) -> None:
    """A list of JSON is not."""
    (folder / "config.json").write_text("[]")
    with pytest.raises(BundleInvalid, match=r"config\.json is not a JSON object"):
        open_bundle(folder)


def test_a_folder_that_is_no_model_says_what_to_do(tmp_path: Path) -> None:
    """Not there, empty, without a tokenizer, with two labels, with a config that is no JSON."""
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


@pytest.mark.parametrize(
    ("config", "tokenizer_config", "transformer", "tokens"),
    [
        ({"max_position_embeddings": 512}, {}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 256}, {}, 256),
        ({"max_position_embeddings": 512}, {"model_max_length": 10**30}, {}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1}, {}, {}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta"}, {}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 1e30}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": None}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 256}, {"max_seq_length": 128}, 128),
        ({"max_position_embeddings": 512}, {}, {"max_seq_length": 1024, "do_lower_case": False}, 512),
        ({"max_position_embeddings": 512}, {}, {"max_seq_length": None}, 512),
        ({"max_position_embeddings": 10**30}, {}, {}, 2**20),
        ({}, {"model_max_length": 8192}, {}, 8192),
        ({}, {"model_max_length": 1e30}, {"max_seq_length": 256}, 256),
        ({}, {"model_max_length": 1e30}, {}, 512),
        ({}, {}, {}, 512),
    ],
)
def test_the_window_is_what_the_model_has(
    config: dict[str, object],
    tokenizer_config: dict[str, object],
    transformer: dict[str, object],
    tokens: int,
    tmp_path: Path,
) -> None:
    """The least of positions, the tokenizer's word and sentence-transformers'; RoBERTa never uses all positions."""
    _write(tmp_path / "config.json", **config)
    _write(tmp_path / "tokenizer_config.json", **tokenizer_config)
    _write(tmp_path / "sentence_bert_config.json", **transformer)
    assert window(tmp_path) == tokens


def test_the_window_of_nonsense_is_refused(tmp_path: Path) -> None:
    """As the exporter asks for it, too."""
    with pytest.raises(BundleInvalid, match=r"config\.json: max_position_embeddings"):
        window(tmp_path, {"max_position_embeddings": "abc"})


@pytest.mark.parametrize(
    ("lowers", "files", "reason"),
    [
        (True, {"tokenizer_config.json": {"do_lower_case": False}}, "do_lower_case is false, and tokenizer.json does"),
        (False, {"tokenizer_config.json": {"do_lower_case": True}}, "do_lower_case is true, and tokenizer.json does"),
        (
            False,
            {"modules.json": {}, "sentence_bert_config.json": {"do_lower_case": True}},
            "texts are lower-cased (do_lower_case), which tokenizer.json does not do: put a normalizer Lowercase",
        ),
        (True, {"tokenizer_config.json": {"do_lower_case": True}}, ""),
        (True, {"modules.json": {}, "sentence_bert_config.json": {"do_lower_case": True}}, ""),
        (False, {"sentence_bert_config.json": {"do_lower_case": True}}, ""),
        (
            True,
            {"tokenizer_config.json": {"do_lower_case": False, "tokenizer_class": "PreTrainedTokenizerFast"}},
            "",
        ),
    ],
)
def test_who_lower_cases_must_be_clear(
    lowers: bool, files: Mapping[str, Mapping[str, object]], reason: str, folder: Path
) -> None:
    """transformers and sentence-transformers heed flags that tokenizer.json does not have; the words were others."""
    from tokenizers import Tokenizer, normalizers

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowers)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        _write(folder / name, **content)
    if reason:
        assert reason in _refused(folder)
    else:
        open_bundle(folder)

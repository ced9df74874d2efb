"""Damaged files of a hub folder, which has no digests: each loads, or ends in one line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from rerank_service.errors import BundleInvalid, OperatorError
from rerank_service.models.bundle import open_bundle
from rerank_service.models.files import GRAPH, TOKENIZER
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from support.damage import FEW, Damage, damages
from support.hub_folder import Edit, edit_graph, write_hub_folder

_FILES = (GRAPH, TOKENIZER, "config.json")
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a hub folder."""
    folder = write_hub_folder(tmp_path_factory.mktemp("hub") / "small")
    return {name: (folder / name).read_bytes() for name in _FILES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder."""
    return tmp_path_factory.mktemp("damaged")


def _load(folder: Path, contents: dict[str, bytes], **damaged: bytes) -> str:
    """Load a folder, and return the message of its rejection; empty if it loads."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name, content in damaged.items():
        (folder / name).write_bytes(content)
    try:
        load_selected(ModelOptions(folder=folder, cache=folder.parent / "cache"))
    except OperatorError as error:
        message = str(error)
    else:
        message = ""
    assert not message or message.isprintable()
    return message


@FEW
@given(st.sampled_from(_FILES), damages)
def test_damaged_file_ends_in_one_line(folder: Path, contents: dict[str, bytes], name: str, damage: Damage) -> None:
    """The message names the folder."""
    message = _load(folder, contents, **{name: damage(contents[name])})
    assert not message or str(folder) in message


@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", ""), (_POINTER, "a pointer of Git LFS"), (b"\0" * 4096, "")],
    ids=["empty", "pointer", "zeros"],
)
def test_lost_content_is_rejected(
    folder: Path, contents: dict[str, bytes], name: str, content: bytes, reason: str
) -> None:
    """An interrupted download, a clone without Git LFS, and a crash of the machine leave such files."""
    message = _load(folder, contents, **{name: content})
    assert message.startswith(f"{folder / name} ")
    assert reason in message
    assert "again" in message or "run `git lfs pull`" in message


def test_pair_format_without_its_tokens_is_rejected(folder: Path, contents: dict[str, bytes]) -> None:
    """The tokenizers library panics on it, which is no Exception."""
    damaged = contents[TOKENIZER].replace(b'"id": "[SEP]"', b'"id": "[SEQ]"', 1)
    assert damaged != contents[TOKENIZER]
    assert "is damaged (it does not define [SE" in _load(folder, contents, **{TOKENIZER: damaged})


def _beside(model: onnx.ModelProto) -> None:
    """Refer to weights in a file beside the graph."""
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    onnx.external_data_helper.set_external_data(tensor, "weights", offset=0, length=len(tensor.raw_data))
    tensor.ClearField("raw_data")


def _with_entry(key: str, value: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        _beside(model)
        next(entry for entry in model.graph.initializer[0].external_data if entry.key == key).value = value

    return edit


def _with_huge_shape(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    tensor.dims[0] = 2**40


def _with_negative_shape(model: onnx.ModelProto) -> None:
    _with_huge_shape(model)
    model.graph.initializer[0].dims[0] = -4


def _with_few_values(model: onnx.ModelProto) -> None:
    """Write the weights as a list of numbers, with another shape."""
    weights = model.graph.initializer[0]
    for form in ("raw_data", "external_data", "data_location"):
        weights.ClearField(form)
    weights.float_data.extend([0.0] * 105)
    weights.dims[0] = 2**40


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_with_huge_shape, "weights worth have 420 bytes, and their shape needs 4,398,046,511,104: download it again"),
        (_with_negative_shape, "weights worth have 420 bytes, and their shape needs -16"),
        (_with_few_values, "weights worth have 105 values, and their shape needs 1,099,511,627,776: download it again"),
        (_with_entry("length", "421"), "weights worth have 421 bytes, and their shape needs 420"),
        (_with_entry("offset", "1"), "weights ends within the weights worth: copy it again"),
        (_with_entry("offset", "-1"), "it does not say where the weights worth are: download it again"),
        (_with_entry("length", "4x"), "it does not say where the weights worth are: download it again"),
        (_with_entry("location", ""), "it does not say where the weights worth are: download it again"),
        (_with_entry("location", "a\0b"), "it does not say where the weights worth are: download it again"),
        (_with_entry("location", "other"), "has its weights in other, which is missing: download it"),
        (_with_entry("location", "../weights"), "are in ../weights, outside the folder of the graph"),
    ],
    ids=[
        *("huge shape", "negative shape", "few values", "length", "offset", "negative offset", "no number"),
        *("no file", "zero byte", "other file", "outside"),
    ],
)
def test_weights_that_do_not_fit_the_graph_are_rejected(
    edit: Edit, reason: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    """onnxruntime never sees the graph: it might take memory for the shape first."""
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "weights").write_bytes(np.arange(105, dtype=np.float32).tobytes())
    edit_graph_without_weights(tmp_path, edit)
    with pytest.raises(BundleInvalid) as caught:
        open_bundle(tmp_path)
    assert reason in str(caught.value)


def edit_graph_without_weights(folder: Path, edit: Edit) -> None:
    """Change the graph of a folder. `onnx.save` would read the weights that the graph names."""
    model = onnx.load(folder / GRAPH)
    edit(model)
    (folder / GRAPH).write_bytes(model.SerializeToString())


def test_name_that_is_not_utf8_is_rejected(folder: Path, contents: dict[str, bytes]) -> None:
    """protobuf accepts it, and onnxruntime raises a UnicodeDecodeError later."""
    damaged = contents[GRAPH].replace(b"ReduceSum", b"Reduce\xffum")
    message = _load(folder, contents, **{GRAPH: damaged})
    assert "model.onnx is not an ONNX graph, or is damaged (it has a name that is not UTF-8)" in message


def test_graph_of_another_type_of_weights_is_checked(folder: Path, contents: dict[str, bytes], tmp_path: Path) -> None:
    """Numbers of 4 bits are packed, two in a byte."""
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(onnx.helper.make_tensor("packed", TensorProto.INT4, [3], b"\x21\x03", raw=True))

    edit_graph(tmp_path, edit)
    assert open_bundle(tmp_path).precision == "fp32"

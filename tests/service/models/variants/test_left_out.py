"""`openvino int8` leaves out the products that the exporter left in fp32."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, write_manifest
from rerank_service.models.manifest import Variant
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.models.variants.external_weights import load_with_weights
from rerank_service.models.variants.int8 import quantize_rows
from rerank_service.models.variants.left_out import left_out_products
from support.small import write_small_model

OPENVINO_INT8 = Engine(Provider.OPENVINO, Precision.INT8)
_WIDTH = 128
_INT8_GRAPH = "model.int8.onnx"


def _graph() -> onnx.ModelProto:
    """Return a graph of two products; the weights of the first are stored in fp16, as the exporter does."""
    weights = np.random.default_rng(1).normal(size=(_WIDTH, _WIDTH))
    nodes = [
        helper.make_node("Cast", ["half"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["between"], name="first"),
        helper.make_node("MatMul", ["between", "single"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", _WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", _WIDTH])],
        [
            numpy_helper.from_array(weights.astype(np.float16), "half"),
            numpy_helper.from_array(weights.astype(np.float32), "single"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _bundle(folder: Path, write_int8: Callable[[Path], object] | None) -> Bundle:
    """Write a bundle with the graph above, and with an int8 graph if a function to write it is given."""
    bundle = write_small_model(folder)
    onnx.save(_graph(), bundle.graph)
    variants = bundle.manifest.variants
    if write_int8:
        write_int8(folder / _INT8_GRAPH)
        variants = (*variants, Variant(file=_INT8_GRAPH, precision="int8", weights="int8", provider="cpu"))
    return write_manifest(folder, bundle.manifest.model_copy(update={"variants": variants}))


def _by_rows(*left_out: str) -> Callable[[Path], object]:
    """Return a function that writes the int8 graph without some products, as the exporter does."""

    def write(path: Path) -> None:
        model = _graph()
        quantize_rows(model, left_out=left_out)
        onnx.save(model, path)

    return write


@pytest.mark.parametrize(
    ("write_int8", "compressed"),
    [
        pytest.param(None, ["first", "second"], id="no int8 graph"),
        pytest.param(_by_rows(), ["first", "second"], id="nothing left out"),
        pytest.param(_by_rows("first"), ["second"], id="first left out"),
        pytest.param(_by_rows("second"), ["first"], id="second left out"),
    ],
)
def test_products_left_in_fp32_by_the_exporter_are_not_compressed(
    write_int8: Callable[[Path], object] | None, compressed: list[str], tmp_path: Path
) -> None:
    """Both int8 engines then compute the same products in int8."""
    graph = graph_for(_bundle(tmp_path / "bundle", write_int8), OPENVINO_INT8, Cache(tmp_path / "cache"))
    assert isinstance(graph, Path)
    nodes = load_with_weights(graph).graph.node
    restored = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    assert [node.name for node in nodes if node.op_type == "MatMul" and node.input[1] in restored] == compressed


def test_int8_graph_that_is_not_onnx_is_an_error(tmp_path: Path) -> None:
    """The engine is skipped then, with this reason."""
    bundle = _bundle(tmp_path / "bundle", lambda path: path.write_bytes(b"no graph"))
    with pytest.raises(BundleInvalid, match=r"model\.int8\.onnx is not an ONNX graph"):
        left_out_products(bundle)

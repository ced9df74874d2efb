"""The products that the exporter left in fp32, because the model ranks differently with them in int8.

The list is not stored: these products are those that the bundle's int8 graph still computes in fp32. `openvino int8`
leaves out the same ones (docs/decisions/0059-levers-of-int8.md).
"""

import onnx

from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.constant_products import products

_CPU_INT8 = Engine(Provider.CPU, Precision.INT8)


def left_out_products(bundle: Bundle) -> frozenset[str]:
    """Return the names of the products in fp32 of a bundle's int8 graph; empty if the bundle has no such graph.

    Raises:
        BundleInvalid: the int8 graph is not ONNX.
    """
    graph = bundle.variant(_CPU_INT8)
    if graph is None:
        return frozenset()
    try:
        return frozenset(products(onnx.load(graph, load_external_data=False)))
    except Exception as error:
        raise BundleInvalid(f"{graph} is not an ONNX graph: {error}") from error

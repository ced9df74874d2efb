"""Passes over a graph: each gives the same logits at less cost, or leaves the graph as it is and says why."""

import onnx

from rerank_export.errors import one_line


def apply_passes(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The graph after all passes, and what each did, by its name."""
    from rerank_export.passes.first_token import shorten_last_layer

    try:
        shortened = shorten_last_layer(model)
    except Exception as error:  # noqa: BLE001 - shape inference raises what it likes; the graph is right without it
        return model, {"first_token_last_layer": f"left as it was: {one_line(error)}"}
    if not shortened.matmuls:
        return model, {"first_token_last_layer": f"left as it was: {shortened.reason}"}
    return shortened.model, {"first_token_last_layer": f"{shortened.matmuls} matrix products for one token"}

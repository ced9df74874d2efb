"""Graphs with the compressed weights of OpenVINO in int8."""

from pathlib import Path

from rerank_service.models.variants.compressed import compress_weights
from rerank_service.models.variants.external_weights import load_with_weights


def with_compressed_weights(graph: Path) -> bytes:
    """Return a graph in fp32 with compressed weights."""
    model = load_with_weights(graph)
    compress_weights(model)
    serialized: bytes = model.SerializeToString()
    return serialized

"""Write tests/support/plain_bert.onnx: a small BERT with random weights, for tests of graphs without torch.

python tests/golden/make_plain_bert.py       (in the export environment)

Six layers, 32 wide, 4 heads, the last layer for the first token only; weights are stored in fp16, as in a bundle.
"""

import sys
import tempfile
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rerank_export.graph.graph_export import export_graph
from rerank_export.graph.passes.first_token import shorten_last_layer
from rerank_export.graph.passes.fold_sizes import fold_sizes
from rerank_export.graph.weight_storage import halve_weights
from rerank_export.library_output import silence_libraries
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from support.encoders import write_encoder
from support.plain_bert import LAYERS, PLAIN_BERT


def main() -> None:
    """Export the model, run the passes, and write the graph without the names of its sources."""
    with tempfile.TemporaryDirectory() as work, silence_libraries():
        source = write_encoder(Path(work) / "bert", "bert")
        _deepen(source)
        model = export_graph(ModelSource(source, "bert"), Scoring(), Path(work) / "graph")
    model = shorten_last_layer(fold_sizes(model)[0]).model
    halve_weights(model, rounded=True)
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    onnx.save(model, PLAIN_BERT)
    print(f"{len(model.graph.node)} nodes, {PLAIN_BERT.stat().st_size} bytes")


def _deepen(source: Path) -> None:
    """Replace the model, which has two layers, by one of LAYERS layers."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"num_hidden_layers": LAYERS, "max_position_embeddings": 64, "initializer_range": 0.2}
    BertForSequenceClassification(BertConfig.from_pretrained(source, **sizes)).save_pretrained(source)


if __name__ == "__main__":
    main()

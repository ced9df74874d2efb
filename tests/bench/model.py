"""Create the model that all systems run: `python -m bench.model FOLDER`, in the exporter's environment.

The shape of cross-encoder/ms-marco-MiniLM-L6-v2 (6 layers, hidden 384, 12 heads, intermediate 1,536, BERT's
vocabulary) with random weights from a fixed seed. Speed does not depend on the weights, and no download is needed.
model_folders.py lists the output.
"""

import shutil
import sys
from pathlib import Path

import torch
from tokenizers import processors
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from bench.host import read_host
from bench.model_folders import (
    BUNDLE,
    CALIBRATION,
    FP32_GRAPH,
    INFINITY_FP32,
    INFINITY_INT8,
    INT8_GRAPH,
    SOURCE,
    TOKENIZER_FILES,
)
from bench.shapes.weights import spread
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.gate.gate_options import GateOptions
from rerank_export.graph.graph_export import export_graph
from rerank_export.scoring.model_scoring import resolve_scoring
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.source.model_source import ModelSource
from rerank_service.models.files import STARTER, read_json
from rerank_service.tools.loadtest.workload import Workload

SEED = 20_260
_INITIALIZER_RANGE = 0.06
"""Three times BERT's own, with which an untrained model gives nearly equal logits."""
_CALIBRATION_REQUESTS = 12


def make(folder: Path) -> None:
    """Write the model in all forms."""
    source = folder / SOURCE
    tokenizer = bert_tokenizer()
    requests = Workload(seed=SEED).prepared(_CALIBRATION_REQUESTS).requests
    pairs = [(request.query, document) for request in requests for document in request.documents]
    model = _random(tokenizer)
    spread(model, tokenizer, pairs[::5], max_tokens=tokenizer.model_max_length)
    model.save_pretrained(source)
    tokenizer.save_pretrained(source)
    (folder / CALIBRATION).mkdir()
    lines = [f"{query} {document}\n" for query, document in pairs]
    (folder / CALIBRATION / "train.txt").write_text("".join(lines))
    # rankings by random weights are arbitrary; a few pairs show that the graph equals the model
    export(ExportRequest(str(source), folder / BUNDLE, name="minilm-l6-random", gate=GateOptions(queries=2)))
    write_peer_graphs(source)
    for name, graph in ((INFINITY_FP32, FP32_GRAPH), (INFINITY_INT8, INT8_GRAPH)):
        (folder / name).mkdir()
        for file in TOKENIZER_FILES:
            shutil.copy(source / file, folder / name)
        shutil.copy(source / graph, folder / name / "model.onnx")


def bert_tokenizer() -> BertTokenizerFast:
    """Return the starter's tokenizer with BERT's pair form: the starter has a second [CLS] before the document."""
    tokenizer = BertTokenizerFast(tokenizer_file=str(STARTER / "tokenizer.json"), model_max_length=512)
    ends = [(word, tokenizer.convert_tokens_to_ids(word)) for word in ("[SEP]", "[CLS]")]
    tokenizer.backend_tokenizer.post_processor = processors.BertProcessing(*ends)
    return tokenizer


def _random(tokenizer: BertTokenizerFast) -> BertForSequenceClassification:
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        initializer_range=_INITIALIZER_RANGE,
        num_labels=1,
    )
    return BertForSequenceClassification(config).eval()


def write_peer_graphs(source: Path) -> None:
    """Write the plain graph, and the int8 graph that sentence-transformers documents for this processor."""
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    graphs = source / "onnx"
    model = ModelSource(source, source.name)
    export_graph(model, resolve_scoring(model, read_json(source / "config.json"), ScoringOptions()), graphs)
    kind = "avx512_vnni" if "avx512_vnni" in read_host().features else "avx2"
    config = getattr(AutoQuantizationConfig, kind)(is_static=False)
    quantizer = ORTQuantizer.from_pretrained(graphs, file_name="model.onnx")
    quantizer.quantize(config, graphs / "int8", file_suffix="")
    (graphs / "int8" / "model.onnx").replace(source / INT8_GRAPH)
    shutil.rmtree(graphs / "int8")
    for path in {*graphs.iterdir()} - {source / FP32_GRAPH, source / INT8_GRAPH}:
        path.unlink()  # optimum copies files that the source already has


if __name__ == "__main__":
    make(Path(sys.argv[1]))

"""Write a shape in all forms: `python -m bench.shapes.build NAME FOLDER`, in the exporter's environment.

The folder has the form of bench.model (model_folders.py): the model as on the hub, the bundle that `rerank export`
makes of it, the graphs of the peers and texts for quantisation.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.arguments import bench_parser
from bench.model_folders import BUNDLE, CALIBRATION, SOURCE
from bench.shapes.catalog import ARCHITECTURES, SHAPES
from bench.shapes.generator_files import answer_ids, chat_template, write_generator_files
from bench.shapes.shape import Shape
from bench.shapes.weights import spread, spread_answers
from rerank_service.models.tuning import parity_set

_SPREAD_PAIRS = 64
_SPREAD_CHARACTERS = 300
"""Length to which the documents of prompts are cut."""
_CALIBRATION_PAIRS = 120
EXAMPLES = (
    ("one shape", "minilm-l6 out/minilm-l6"),
    ("with fewer layers, and without the graphs of peers", "bge-reranker-v2-m3 out/large --layers 6 --no-peers"),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> None:
    """Write one shape."""
    parser = bench_parser("shapes.build", __doc__, EXAMPLES)
    parser.add_argument("shape", choices=SHAPES, metavar="NAME", help=f"one of {', '.join(SHAPES)}")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write; must not exist")
    parser.add_argument("--layers", type=int, help="maximum number of layers (default: the published number)")
    parser.add_argument("--no-peers", action="store_true", help="leave out the graphs of the peers")
    arguments = parser.parse_args(argv)
    write_shape(SHAPES[arguments.shape].with_layers(arguments.layers), arguments.folder, peers=not arguments.no_peers)


def write_shape(shape: Shape, folder: Path, *, peers: bool) -> None:
    """Write the model, its bundle, and the graphs of the peers if `peers`."""
    from bench.model import write_peer_graphs
    from rerank_export.export_request import ExportRequest
    from rerank_export.exporter import export
    from rerank_export.gate.gate_options import GateOptions
    from rerank_export.scoring.scoring_options import ScoringOptions

    source = folder / SOURCE
    pairs = [(query.text, document) for query in parity_set.queries() for document in query.documents]
    _write_source(shape, source, pairs[:: len(pairs) // _SPREAD_PAIRS])
    (folder / CALIBRATION).mkdir()
    lines = [
        " ".join(f"{query} {document}".split()) + "\n" for query, document in pairs[:: len(pairs) // _CALIBRATION_PAIRS]
    ]
    (folder / CALIBRATION / "train.txt").write_text("".join(lines))
    # two queries show that the graph equals the model
    scoring = ScoringOptions(template=shape.template)
    export(ExportRequest(str(source), folder / BUNDLE, name=shape.name, scoring=scoring, gate=GateOptions(queries=2)))
    if peers and not shape.template:  # sentence-transformers has no graph of its own for generators
        write_peer_graphs(source)


def _write_source(shape: Shape, source: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Write the model as on the hub. The logits of the pairs get the spread of a trained model."""
    import torch

    model, tokenizer = ARCHITECTURES[shape.architecture].build(shape)
    published = getattr(torch, shape.dtype)
    model.to(published).float()  # values that the published type holds
    if shape.template:
        tokenizer.chat_template = chat_template(shape)
        answers = answer_ids(shape, tokenizer)
        spread_answers(model, _prompts(tokenizer, pairs), answers)
        write_generator_files(source, answers)
    else:
        spread(model, tokenizer, pairs)
    model.to(published).save_pretrained(source)
    tokenizer.save_pretrained(source)


def _prompts(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> Any:
    """Return the encoded prompts of pairs, padded on the left."""
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "query", "content": query}, {"role": "document", "content": document[:_SPREAD_CHARACTERS]}],
            tokenize=False,
        )
        for query, document in pairs
    ]
    return tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")


if __name__ == "__main__":
    main(sys.argv[1:])

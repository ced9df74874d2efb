"""Write a shape in all forms: `python -m bench.shapes.build NAME FOLDER`, in the exporter's environment.

The folder has the form of bench.model (model_folders.py): the model as on the hub, the bundle that `rerank export`
makes of it, the graphs of the peers and texts for quantisation.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.arguments import bench_parser
from bench.model_folders import BUNDLE, CALIBRATION, SOURCE
from bench.shapes.catalog import ARCHITECTURES, SHAPES
from bench.shapes.shape import Shape
from bench.shapes.weights import spread
from rerank_service.models.tuning import parity_set

_SPREAD_PAIRS = 64
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
    model, tokenizer = ARCHITECTURES[shape.architecture].build(shape)
    pairs = [(query.text, document) for query in parity_set.queries() for document in query.documents]
    spread(model, tokenizer, pairs[:: len(pairs) // _SPREAD_PAIRS])
    model.save_pretrained(source)
    tokenizer.save_pretrained(source)
    del model
    (folder / CALIBRATION).mkdir()
    lines = [
        " ".join(f"{query} {document}".split()) + "\n" for query, document in pairs[:: len(pairs) // _CALIBRATION_PAIRS]
    ]
    (folder / CALIBRATION / "train.txt").write_text("".join(lines))
    # two queries show that the graph equals the model
    scoring = ScoringOptions(template=shape.template)
    export(ExportRequest(str(source), folder / BUNDLE, name=shape.name, scoring=scoring, gate=GateOptions(queries=2)))
    if peers:
        write_peer_graphs(source)


if __name__ == "__main__":
    main(sys.argv[1:])

"""`make bench-shapes`: models of the shapes that people serve, beside sentence-transformers.

Each shape is written as a folder of the Hugging Face hub with random weights, exported, served, measured and deleted. A
shape whose result is in out/bench/shapes/ is not measured again without --fresh.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.arguments import bench_parser, chosen_names, remove_variables
from bench.comparison import FAILURES
from bench.environments import ROOT, Say
from bench.host import Host, read_host
from bench.processes import interruptible
from bench.shapes.building import build
from bench.shapes.catalog import SHAPES
from bench.shapes.chart import draw
from bench.shapes.measure import ShapeMeasurement
from bench.shapes.options import FULL, QUICK
from bench.shapes.page import page
from bench.shapes.results import ShapeResult, load, store
from bench.shapes.shape import Shape
from rerank_service.progress import kept_stages

_WORK = ROOT / "out" / "bench" / "shapes"
_DOCS = ROOT / "docs" / "bench" / "shapes"
_INTERRUPTED = 130
EXAMPLES = (
    ("all shapes, as make bench-shapes", "--export-python .venv-export/bin/python"),
    (
        "see that two shapes work, as make bench-shapes QUICK=1 ONLY=minilm-l6,bge-reranker-base",
        "--export-python .venv-export/bin/python --quick --only minilm-l6,bge-reranker-base",
    ),
    (
        "with at most 6 layers, where memory is short",
        "--export-python .venv-export/bin/python --layers 6 --only bge-reranker-v2-m3",
    ),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Measure the shapes that are missing, and write the page, the chart and the JSON file."""
    arguments = _arguments(argv)
    remove_variables()
    say, host = kept_stages(time.perf_counter), read_host()
    shapes = [shape.with_layers(arguments.layers) for name, shape in SHAPES.items() if name in arguments.only]
    kept = _WORK / ("quick" if arguments.quick else "results") / host.slug
    try:
        with interruptible():
            for shape in shapes:
                path = kept / f"{shape.name}-{shape.layers}.json"
                if arguments.fresh or load(path) is None:
                    _measure(shape, path, host, arguments, say)
    except KeyboardInterrupt:
        return _INTERRUPTED
    results = [result for path in sorted(kept.glob("*.json")) if (result := load(path)) is not None]
    if not results:
        say("no shape was measured: the lines above give the reasons")
        return 1
    written = _write(results, host, _WORK if arguments.quick else _DOCS)
    print(written.read_text(encoding="utf-8"))
    say(f"written: {written.relative_to(ROOT)}")
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("shapes", __doc__, EXAMPLES)
    parser.add_argument("--quick", action="store_true", help="check that the benchmark works; writes nothing to docs/")
    parser.add_argument(
        "--only", default=",".join(SHAPES), help="shapes to measure, comma-separated (default: %(default)s)"
    )
    parser.add_argument(
        "--layers", type=int, help="maximum number of layers of a shape (default: the published number)"
    )
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="precision of this server, such as bf16 where `auto` keeps fp32 because the weights are random "
        "(default: that of the engine that `auto` chooses)",
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what an earlier run has measured")
    parser.add_argument("--keep", action="store_true", help="keep the models in out/bench/shapes/models (gigabytes)")
    parser.add_argument("--export-python", type=Path, required=True, help="Python with the exporter installed")
    arguments = parser.parse_args(argv)
    arguments.only = chosen_names(parser, "--only", arguments.only, SHAPES)
    return arguments


def _measure(shape: Shape, path: Path, host: Host, arguments: argparse.Namespace, say: Say) -> None:
    """Build, measure and delete a shape. If that fails, the reason is printed, and the other shapes go on."""
    folder = _WORK / "models" / shape.name
    try:
        if not (folder.is_dir() and arguments.keep):
            say(f"{shape.label}: building and exporting")
            build(shape, folder, arguments.export_python)
        os.environ["RERANK_CACHE"] = str(folder / "cache")
        options = replace(QUICK if arguments.quick else FULL, precision=arguments.precision)
        store(ShapeMeasurement(shape, folder, host, options, _WORK / "logs" / shape.name, say).result(), path)
    except (*FAILURES, subprocess.CalledProcessError) as error:
        say(f"{shape.label} cannot be measured: {error}")
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _write(results: Sequence[ShapeResult], host: Host, folder: Path) -> Path:
    """Write the page, and the chart and the JSON file beside it. Return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    order = list(SHAPES)
    results = sorted(results, key=lambda result: order.index(result.shape.split(" ")[0]))
    written, title = folder / f"{host.slug}.md", f"make bench-shapes on {host.cpu}, {host.cores} cores"
    figures = {"title": title, "shapes": [result.as_json() for result in results]}
    written.with_suffix(".json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draw(results, title, written.with_suffix(".png"))
    written.write_text(page(results, host), encoding="utf-8")
    return written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make bench-gpu`: models with random weights on a GPU, beside sentence-transformers on the same GPU.

A model that is missing below --models is built first. The pages and the figures go to --out.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.arguments import bench_parser, chosen_names, remove_variables
from bench.environments import ROOT
from bench.gpu.measure import GpuMeasurement, GpuOptions
from bench.gpu.page import page
from bench.gpu.results import GpuResult
from bench.gpu.systems import VARIABLES
from bench.host import read_host
from bench.processes import interruptible
from bench.shapes.building import build
from bench.shapes.catalog import SHAPES
from rerank_service.engine.cuda import gpu_names, unavailable_reason
from rerank_service.engine.kinds import Precision
from rerank_service.progress import kept_stages

_WORK = ROOT / "out" / "bench" / "gpu"
_INTERRUPTED = 130
_DEFAULT = "minilm-l6,bge-reranker-base,bge-reranker-v2-m3"
EXAMPLES = (
    ("three models without the peer, as make bench-gpu", "--export-python .venv-export/bin/python"),
    ("one model that exists already", "--only minilm-l6 --models models --peer-python .venv-peer/bin/python"),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Measure the models, and write the page and the figures."""
    arguments = _arguments(argv)
    if reason := unavailable_reason(Precision.FP16):
        print(reason, file=sys.stderr)
        return 1
    remove_variables()
    os.environ |= VARIABLES
    host, say = read_host(), kept_stages(time.perf_counter)
    options = GpuOptions(lengths=tuple(arguments.lengths), rounds=arguments.rounds, cores=host.cores)
    title = f"{gpu_names()[0]}, {host.cores} cores of {host.cpu}"
    results: list[GpuResult] = []
    try:
        with interruptible():
            for name in arguments.only:
                folder = arguments.models / name
                if not folder.is_dir():
                    build(SHAPES[name], folder, arguments.export_python, "--no-peers")
                os.environ["RERANK_CACHE"] = str(folder / "cache")
                logs = _WORK / "logs" / name
                results.append(GpuMeasurement(folder, arguments.peer_python, options, logs, say).result())
                _write(results, title, options, arguments.out)
    except KeyboardInterrupt:
        return _INTERRUPTED
    print(page(results, title, options.documents, options.clients))
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("gpu", __doc__, EXAMPLES)
    parser.add_argument("--only", default=_DEFAULT, help="models to measure, comma-separated (default: %(default)s)")
    parser.add_argument("--models", type=Path, default=_WORK / "models", help="folder of the models (gigabytes)")
    parser.add_argument("--out", type=Path, default=_WORK, help="folder of the page and the figures")
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=(40, 130, 500), help="tokens of the documents (default: 40 130 500)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each system (default: %(default)s)")
    parser.add_argument("--export-python", type=Path, help="Python with the exporter, to build a model")
    parser.add_argument(
        "--peer-python", type=Path, help="Python with sentence-transformers, and torch for CUDA (default: no peer)"
    )
    arguments = parser.parse_args(argv)
    arguments.only = chosen_names(parser, "--only", arguments.only, SHAPES)
    missing = [name for name in arguments.only if not (arguments.models / name).is_dir()]
    if missing and arguments.export_python is None:
        parser.error(f"{arguments.models} has no {', '.join(missing)}: give --export-python, which builds them")
    return arguments


def _write(results: Sequence[GpuResult], title: str, options: GpuOptions, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = page(results, title, options.documents, options.clients)
    (folder / "gpu.md").write_text(text, encoding="utf-8")
    figures = {"title": title, "models": [result.as_json() for result in results]}
    (folder / "gpu.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

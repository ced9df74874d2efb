"""`make bench`: this server compared with its own engine and with peers, on one model and the same documents."""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.arguments import bench_parser
from bench.chart import draw
from bench.engine_choice import choose_engine
from bench.environments import REQUIREMENTS, ROOT
from bench.options import FULL, QUICK
from bench.pool import SystemPool
from bench.processes import interruptible
from bench.results import Results
from bench.results_page import page
from bench.run import Run
from rerank_service.progress import kept_stages
from rerank_service.tools.loadtest import workload

_WORK = ROOT / "out" / "bench"
_DOCS = ROOT / "docs" / "bench"
_REMOVED_VARIABLES = ("RERANK_API_KEYS", "RERANK_MODEL", "RERANK_EXAMPLE")
"""Variables that would lock out the benchmark's clients, or replace the model."""
_INTERRUPTED = 130
EXAMPLES = (
    ("all figures, as make bench", "--export-python .venv-export/bin/python"),
    (
        "check in minutes that it works, as make bench QUICK=1 PEERS=fastembed",
        "--export-python .venv-export/bin/python --quick --peers fastembed",
    ),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Create the model if it is missing, measure, and write the page, the chart and the JSON file."""
    arguments = _arguments(argv)
    for name in _REMOVED_VARIABLES:
        os.environ.pop(name, None)
    say = kept_stages(time.perf_counter)
    try:
        with interruptible():
            models = _make_model(arguments.export_python)
            choose_engine(say)
            pool = SystemPool(QUICK if arguments.quick else FULL, say)
            results = Run(pool, models, _WORK / "logs", arguments.peers).results()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except subprocess.CalledProcessError as error:
        say(f"cannot create the model: {error}")
        return 1
    written = _write(results, _WORK if arguments.quick else _DOCS)
    print(written.read_text())
    say(f"written: {written.relative_to(ROOT)}")
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("", __doc__, EXAMPLES)
    parser.add_argument("--quick", action="store_true", help="check that the benchmark works; writes nothing to docs/")
    parser.add_argument(
        "--peers",
        default=",".join(REQUIREMENTS),
        help="peers to measure, comma-separated; may be empty (default: %(default)s)",
    )
    parser.add_argument("--export-python", type=Path, required=True, help="Python with the exporter installed")
    arguments = parser.parse_args(argv)
    arguments.peers = [peer for peer in arguments.peers.split(",") if peer]
    if unknown := set(arguments.peers) - REQUIREMENTS.keys():
        parser.error(f"--peers has unknown names: {', '.join(sorted(unknown))}; choose from {', '.join(REQUIREMENTS)}")
    return arguments


def _make_model(python: Path) -> Path:
    """Return the folder of the model. It is created once, and again if its code has changed.

    A partial model is never used: it is written beside its place and renamed when complete.
    """
    folder = _WORK / f"model-{_digest()}"
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = [str(python), "-m", "bench.model", str(partial)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "tests")})
        partial.rename(folder)
    return folder


def _digest() -> str:
    """Return a digest of the code that creates the model."""
    sources = [Path(__file__).with_name("model.py"), Path(workload.__file__), *(ROOT / "export").rglob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:8]


def _write(results: Results, folder: Path) -> Path:
    """Write the page, and the chart and the JSON file beside it. Return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{results.host.slug}.md"
    chart = written.with_suffix(".png")
    draw(results.as_json(), chart)
    figures = json.dumps(results.as_json(), indent=2, ensure_ascii=False, default=str)
    written.with_suffix(".json").write_text(figures + "\n")
    written.write_text(page(results, chart.name))
    return written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

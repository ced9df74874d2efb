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

from bench.arguments import bench_parser, chosen_names, remove_variables
from bench.chart import draw
from bench.duration import duration_text, seconds_of_part
from bench.engine_choice import choose_engine
from bench.environments import ROOT, Say
from bench.hidden_amx import HIDDEN_FEATURES, CannotHide, hide_amx
from bench.host import read_host
from bench.index_page import update_index
from bench.options import FULL, QUICK, Options
from bench.parts import PARTS, Part, PartFiles, chosen_parts, our_settings, peers_of
from bench.performance_targets import rows
from bench.pool import SystemPool
from bench.processes import interruptible
from bench.results import Results
from bench.results_page import page
from bench.run import Run
from bench.target_row import count_goals
from rerank_service.progress import kept_stages
from rerank_service.tools.loadtest import workload

_WORK = ROOT / "out" / "bench"
_DOCS = ROOT / "docs" / "bench"
_AMX_IS_HIDDEN = "BENCH_AMX_IS_HIDDEN"
_INTERRUPTED = 130
_USAGE = 2
EXAMPLES = (
    ("all figures, as make bench", "--export-python .venv-export/bin/python"),
    (
        "check in minutes that it works, as make bench QUICK=1 PEERS=fastembed",
        "--export-python .venv-export/bin/python --quick --peers fastembed",
    ),
    (
        "one part, as make bench ONLY=bundled STARTER=out/source",
        "--export-python .venv-export/bin/python --only bundled --starter out/source",
    ),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Create the model if it is missing, measure the parts that are missing, and write page, chart and JSON file."""
    arguments = _arguments(argv)
    remove_variables()
    say = kept_stages(time.perf_counter)
    if arguments.starter and not (arguments.starter / "config.json").is_file():
        say(f"--starter {arguments.starter} has no config.json: give the folder of the bundled model (docs/starter.md)")
        return _USAGE
    if arguments.no_amx and _AMX_IS_HIDDEN not in os.environ:
        try:
            hide_amx(os.environ)
        except CannotHide as error:
            say(str(error))
            return 1
        os.environ[_AMX_IS_HIDDEN] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "bench", *argv])  # libraries that are loaded may have found AMX
    host = read_host(HIDDEN_FEATURES if arguments.no_amx else ())
    options = QUICK if arguments.quick else FULL
    try:
        with interruptible():
            models = _make_model(arguments.export_python)
            choose_engine(say)
            run = Run(host, models, arguments.starter, _WORK / "logs")
            files = PartFiles(_WORK / "parts", host, options, our_settings())
            results = _measure(run, files, options, arguments, say)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except subprocess.CalledProcessError as error:
        say(f"cannot create the model: {error}")
        return 1
    written = _write(results, _WORK if arguments.quick else _DOCS)
    print(written.read_text())
    say(f"written: {written.relative_to(ROOT)}")
    if lacking := {part.name for part in PARTS} - {part.part.name for part in results.parts}:
        say(f"the page lacks the parts {', '.join(sorted(lacking))}: without ONLY= and PEERS= they are added")
    return 0


def _measure(run: Run, files: PartFiles, options: Options, arguments: argparse.Namespace, say: Say) -> Results:
    """Measure the chosen parts that are missing. Return the results of all parts that have been measured."""
    chosen = chosen_parts(arguments.only, arguments.peers)
    done = [] if arguments.fresh else [part for part in chosen if files.load(part)]
    missing = [part for part in chosen if part not in done]
    estimates = [(part, _estimate(run, files, part, options)) for part in missing]
    say(duration_text(estimates, done))
    for part in missing:
        say(f"part {part.name}")
        files.store(run.results(part, SystemPool(options, say)))
    known = [files.load(part) for part in dict.fromkeys((*chosen, *PARTS))]
    by_name = {results.part.name: results for results in reversed(known) if results}
    return Results(host=run.host, options=options, parts=[by_name[part.name] for part in PARTS if part.name in by_name])


def _estimate(run: Run, files: PartFiles, part: Part, options: Options) -> float:
    ours, peers = run.systems(part)
    return files.seconds(part.name) or seconds_of_part(part, [*ours, *peers], options)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("", __doc__, EXAMPLES)
    parser.add_argument("--quick", action="store_true", help="check that the benchmark works; writes nothing to docs/")
    peers, parts = peers_of(PARTS), [part.name for part in PARTS]
    parser.add_argument(
        "--peers",
        default=",".join(peers),
        help="peers to measure, comma-separated; may be empty (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        default="",
        help=f"parts to measure, comma-separated, of {', '.join(parts)} (default: all)",
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what an earlier run has measured")
    parser.add_argument(
        "--no-amx", action="store_true", help="hide AMX and bf16 instructions from all systems, as a processor without"
    )
    parser.add_argument(
        "--starter",
        type=Path,
        help="source of the bundled model, with its own code (docs/starter.md), for sentence-transformers",
    )
    parser.add_argument("--export-python", type=Path, required=True, help="Python with the exporter installed")
    arguments = parser.parse_args(argv)
    arguments.peers = chosen_names(parser, "--peers", arguments.peers, peers)
    arguments.only = chosen_names(parser, "--only", arguments.only, parts)
    arguments.starter = arguments.starter and arguments.starter.resolve()
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
    own = (Path(__file__).parent / name for name in ("model.py", "shapes/weights.py"))
    sources = [*own, Path(workload.__file__), *(ROOT / "export").rglob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:8]


def _write(results: Results, folder: Path) -> Path:
    """Write the page, and the chart and the JSON file beside it. Return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{results.host.slug}.md"
    chart = written.with_suffix(".png")
    draw(results.as_json(), chart)
    figures = results.as_json() | {"goals": count_goals(rows(results))}
    text = json.dumps(figures, indent=2, ensure_ascii=False, default=str)
    written.with_suffix(".json").write_text(text + "\n")
    written.write_text(page(results, chart.name))
    if folder == _DOCS:
        update_index(folder)
    return written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

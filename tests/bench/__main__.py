"""`make bench`: this server beside its own engine and beside the peers, on one model and the same documents."""

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

from rich.console import Console

from bench.environments import REQUIREMENTS, ROOT
from bench.field import Field
from bench.options import FULL, QUICK
from bench.picture import draw
from bench.processes import interruptible
from bench.results import Results
from bench.run import Run
from bench.table import page
from bench.variant import settle
from rerank_service.tools.loadtest import workload

_WORK = ROOT / "out" / "bench"
_DOCS = ROOT / "docs" / "bench"
_NOT_HERE = ("RERANK_API_KEYS", "RERANK_MODEL", "RERANK_EXAMPLE")
"""Variables that would keep our own clients out, or the model that all others run."""
_INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Make the model if it is not there, run, write table, picture and figures."""
    arguments = _arguments(argv)
    for name in _NOT_HERE:
        os.environ.pop(name, None)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    begun = time.perf_counter()

    def say(line: str) -> None:
        console.print(f"{time.perf_counter() - begun:6.0f} s  {line}")

    try:
        with interruptible():
            models = _make_model(arguments.export_python)
            settle(say)
            field = Field(QUICK if arguments.quick else FULL, say)
            results = Run(field, models, _WORK / "logs", arguments.peers).results()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except subprocess.CalledProcessError as error:
        say(f"the model cannot be made: {error}")
        return 1
    written = _write(results, _WORK if arguments.quick else _DOCS)
    print(written.read_text())
    say(f"written: {written.relative_to(ROOT)}")
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it works; nothing is written to docs/")
    parser.add_argument("--peers", default=",".join(REQUIREMENTS), help="which of them (default: %(default)s)")
    parser.add_argument("--export-python", type=Path, required=True, help="a Python that has the exporter")
    arguments = parser.parse_args(argv)
    arguments.peers = [peer for peer in arguments.peers.split(",") if peer]
    if unknown := set(arguments.peers) - REQUIREMENTS.keys():
        parser.error(f"no peer is called {', '.join(sorted(unknown))}; there are {', '.join(REQUIREMENTS)}")
    return arguments


def _make_model(python: Path) -> Path:
    """Its folder. It is made once, and anew when what makes it has changed; beside its place, so that half a model is
    none."""
    folder = _WORK / f"model-{_digest()}"
    if not folder.is_dir():
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        makes = [str(python), "-m", "bench.model", str(half)]
        subprocess.run(makes, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "tests")})
        half.rename(folder)
    return folder


def _digest() -> str:
    """Of all code that the model depends on."""
    sources = [Path(__file__).with_name("model.py"), Path(workload.__file__), *(ROOT / "export").rglob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:8]


def _write(results: Results, folder: Path) -> Path:
    """The page, with the picture and all figures beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{results.host.slug}.md"
    picture = written.with_suffix(".png")
    draw(results.as_json(), picture)
    figures = json.dumps(results.as_json(), indent=2, ensure_ascii=False, default=str)
    written.with_suffix(".json").write_text(figures + "\n")
    written.write_text(page(results, picture.name))
    return written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

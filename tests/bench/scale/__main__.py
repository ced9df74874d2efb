"""`make bench SCALE=1`: how time and throughput grow with documents, lengths, clients, lanes and models."""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.arguments import bench_parser
from bench.environments import ROOT
from bench.host import read_host
from bench.processes import interruptible
from bench.scale.page import page
from bench.scale.pictures import draw
from bench.scale.sweeps import QUICK, Sizes, Sweeps
from rerank_service.progress import kept_stages

EXAMPLES = (
    ("all sweeps, as make bench SCALE=1", ""),
    ("a check of some minutes, as make bench SCALE=1 QUICK=1", "--quick"),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Measure, and write the page with its pictures. Return 1 if something grows faster than linearly."""
    parser = bench_parser("scale", __doc__, EXAMPLES)
    parser.add_argument("--quick", action="store_true", help="short points; the page goes to out/bench/")
    parser.add_argument("--out", type=Path, help="folder of the page (default: docs/bench, or out/bench with --quick)")
    arguments = parser.parse_args(argv)
    out = arguments.out or ROOT / ("out/bench" if arguments.quick else "docs/bench")
    load, _, _ = os.getloadavg()
    out.mkdir(parents=True, exist_ok=True)
    with interruptible(), tempfile.TemporaryDirectory() as work:
        sizes = QUICK if arguments.quick else Sizes()
        sweeps, model = Sweeps(Path(work), sizes, kept_stages(time.perf_counter)).take()
    host = read_host()
    pictures = {sweep.name: f"{host.slug}-scale-{sweep.name.replace(' ', '-')}.png" for sweep in sweeps}
    for sweep in sweeps:
        draw(sweep, out / pictures[sweep.name], model if sweep.name == "lanes" else None)
    text = page(sweeps, model, host, datetime.now(UTC).date().isoformat(), pictures, load=load)
    (out / f"{host.slug}-scale.md").write_text(text)
    print(text)
    return 1 if any(sweep.fault for sweep in sweeps) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

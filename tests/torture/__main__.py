"""`make torture`: try to break the started server, with many inputs, and check that it stays whole."""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.arguments import bench_parser, chosen_names, remove_variables
from bench.processes import interruptible
from rerank_service.progress import kept_stages
from torture.campaign import Options, replay, run_campaign
from torture.corpus import read_entry
from torture.parts import PARTS, part_of

_INTERRUPTED = 130
_SLICE_SEED = 17
_SEEDS = 1_000_000
EXAMPLES = (
    ("all parts, as make torture", "--seed 17"),
    ("ten minutes of one part, as make torture ONLY=http MINUTES=10", "--only http --minutes 10"),
    ("one input again, as make torture ONLY=http SEED=17 INPUT=4711", "--only http --seed 17 --input 4711"),
    ("an input from a file", "--replay out/torture/failures/http-17-4711.json"),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Run the campaign. Return 1 if an input failed."""
    arguments = _arguments(argv)
    remove_variables()
    say = kept_stages(time.perf_counter)
    try:
        with interruptible():
            if arguments.replay:
                entry = read_entry(arguments.replay)
                return replay(part_of(entry.part), entry, arguments.model, say)
            return int(run_campaign(_options(arguments), say) > 0)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _options(arguments: argparse.Namespace) -> Options:
    named = [part for part in PARTS if not arguments.only or part.name in arguments.only]
    chosen = [part for part in named if part.slice_inputs or not arguments.slice]
    return Options(
        parts=chosen,
        seed=arguments.seed,
        minutes=arguments.minutes,
        fresh=arguments.fresh,
        slice=arguments.slice,
        numbers=arguments.input,
        model=arguments.model,
        keep=arguments.keep,
    )


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("", __doc__, EXAMPLES, package="torture")
    names = [part.name for part in PARTS]
    parser.add_argument("--only", default="", help=f"parts, comma-separated, of {', '.join(names)} (default: all)")
    parser.add_argument(
        "--minutes", type=float, help="time of all parts together (default: until all inputs are tried)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        help=f"number that determines all inputs; the same seed continues (default: {_SLICE_SEED}; 0: a random one)",
    )
    parser.add_argument("--fresh", action="store_true", help="start from the first input again")
    parser.add_argument("--slice", action="store_true", help="the small number of inputs that CI tries")
    parser.add_argument("--input", type=_range, metavar="N or N-M", help="try these inputs only; needs --only")
    parser.add_argument("--model", type=Path, help="bundle to serve (default: a small model of the tests)")
    parser.add_argument(
        "--keep", action="store_true", help="keep the progress, and write the table of docs/reliability.md"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try the input of a file")
    arguments = parser.parse_args(argv)
    arguments.only = chosen_names(parser, "--only", arguments.only, names)
    if arguments.input is not None and len(arguments.only) != 1:
        parser.error("--input needs --only with one part: numbers count per part")
    if not arguments.seed:
        arguments.seed = random.randrange(1, _SEEDS) if arguments.seed == 0 else _SLICE_SEED
    return arguments


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

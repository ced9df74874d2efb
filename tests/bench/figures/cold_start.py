"""Seconds from the command to a server that is ready, with the bundled model and nothing set."""

import time
from pathlib import Path
from statistics import median

from bench.options import Options
from bench.servers import our_server


def take(log: Path, options: Options) -> float:
    """Median of several starts. Files are in the page cache, as they are after an image was pulled."""
    seconds = []
    for _ in range(options.cold_starts):
        begun = time.perf_counter()
        with our_server(log):
            seconds.append(time.perf_counter() - begun)
    return median(seconds)

"""Seconds from the command to a ready server, with the bundled model and default settings."""

import time
from pathlib import Path
from statistics import median

from bench.options import Options
from bench.servers import our_server


def take(log: Path, options: Options) -> float:
    """Return the median of several starts. Files are in the page cache, as after the pull of an image."""
    seconds = []
    for _ in range(options.cold_starts):
        begun = time.perf_counter()
        with our_server(log):
            seconds.append(time.perf_counter() - begun)
    return median(seconds)

"""Let the wall clock of a process jump, and no other clock: a library that is loaded before the C library."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_SOURCE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *jump;

__attribute__((constructor)) static void start(void) {
    int file = open(getenv("CLOCK_JUMP"), O_RDONLY);
    if (file >= 0) jump = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (jump && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *jump;
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""


class ClockShim:
    """The wall clock of processes that are started with `variables`."""

    def __init__(self, folder: Path) -> None:
        """Compile the library in a folder. Skip the test without a C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("the clock of a process jumps by a library in C: install a C compiler (apt-get install gcc)")
        source, library, self._jump = folder / "clock.c", folder / "clock.so", folder / "jump"
        source.write_text(_SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        self._jump.write_bytes(bytes(8))
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_JUMP": str(self._jump)}
        """Environment of the processes."""

    def set(self, seconds: int) -> None:
        """Let the clock be so many seconds ahead of that of the machine; negative: behind it."""
        with self._jump.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
            os.fsync(file.fileno())

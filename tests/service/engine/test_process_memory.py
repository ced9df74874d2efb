"""Memory of the test process, and of a process in a folder that looks like /proc."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rerank_service.engine.process_memory import ProcessMemory, process_memory, return_free_memory

MB = 10**6
_COUNT_ARENAS = """
import ctypes, sys, threading
from rerank_service.engine.process_memory import share_arenas

share_arenas()
c, barrier = ctypes.CDLL(None), threading.Barrier(16)
c.malloc.restype = c.fopen.restype = ctypes.c_void_p

def allocate():
    barrier.wait()
    c.malloc(ctypes.c_size_t(10_000))
    barrier.wait()

threads = [threading.Thread(target=allocate) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(c.fopen(sys.argv[1].encode(), b"w"))
c.malloc_info(0, file)
c.fclose(file)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_memory_that_is_in_use_and_free_again() -> None:
    """Pages that hold values count. Free ones are returned to the kernel."""
    return_free_memory()
    before = process_memory()
    values = np.ones(50 * MB // 8)
    during = process_memory()
    assert before is not None
    assert during is not None
    assert during.held - before.held > 45 * MB
    assert during.resident >= during.held
    del values
    return_free_memory()
    after = process_memory()
    assert after is not None
    assert after.held < during.held - 40 * MB


def test_fields_of_the_kernel(tmp_path: Path) -> None:
    """Mapped files are resident, and the kernel can drop them."""
    folder = tmp_path / "proc" / "self"
    folder.mkdir(parents=True)
    assert process_memory(tmp_path) is None
    (folder / "status").write_text("Name:\tpython\nEmpty:\nVmRSS:\t  3000 kB\nRssFile:\t 1000 kB\n")
    assert process_memory(tmp_path) == ProcessMemory(3000 * 1024, 2000 * 1024)
    (folder / "status").write_text("Name:\tpython\nVmRSS:\t  3000 kB\n")
    assert process_memory(tmp_path) is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("variable", "arenas"), [(None, 2), ("1", 1)])
def test_threads_share_two_arenas(tmp_path: Path, variable: str | None, arenas: int) -> None:
    """The variable of the C library has precedence."""
    report = tmp_path / "malloc.xml"
    given = {} if variable is None else {"MALLOC_ARENA_MAX": variable}
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | given
    subprocess.run([sys.executable, "-c", _COUNT_ARENAS, report], check=True, env=environment, timeout=60)
    assert len(re.findall("<heap nr", report.read_text())) == arenas

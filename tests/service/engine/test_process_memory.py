"""Memory of the test process, and of a process in a folder that looks like /proc."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rerank_service.engine.process_memory import ProcessMemory, process_memory, return_free_memory

MB = 10**6


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

"""The threads of torch under a CPU quota."""

import os
import subprocess
import sys

import pytest

_CODE = """
from rerank_export.threads import limit_threads
from rerank_service.engine.host import Cores
limit_threads(Cores({usable}, {affinity}, None))
import os, torch
print(os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads())
"""


@pytest.mark.parametrize(("usable", "variable", "expected"), [(1, None, "1 1"), (2, "1", "1 1")])
def test_torch_has_a_thread_per_usable_core_unless_the_user_sets_them(
    usable: int, variable: str | None, expected: str
) -> None:
    """torch reads the variable when it is imported."""
    others = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment = others | ({} if variable is None else {"OMP_NUM_THREADS": variable})
    code = _CODE.format(usable=usable, affinity=64)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout == f"{expected}\n"


def test_torch_counts_the_cores_itself_without_a_quota() -> None:
    """It leaves out hyper-threads."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    code = _CODE.format(usable=64, affinity=64)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout.split()[0] == "None"

"""The number of usable cores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_service.engine.host import Cores, cores, usable_cores
from support.cgroup_tree import CgroupTree


@pytest.mark.parametrize(
    ("quota", "affinity", "usable"),
    [
        ("max 100000", 64, 64),
        ("200000 100000", 64, 2),
        ("150000 100000", 64, 2),
        ("50000 100000", 64, 1),
        ("50000 100000", 2, 1),
        ("300000 100000", 2, 2),
        ("unreadable", 64, 64),
    ],
)
def test_usable_cores_are_bounded_by_quota_and_affinity(
    quota: str, affinity: int, usable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of systemd with `CPUQuota=`. The quota is rounded up. Without a quota the affinity counts."""
    tree = CgroupTree(tmp_path)
    tree.process("0::/system.slice/rerank.service")
    tree.group("system.slice/rerank.service", {"cpu.max": quota})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
    found = cores(tmp_path)
    assert (found.usable, found.affinity) == (usable, affinity)


def test_systems_without_cgroups_and_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS."""
    monkeypatch.delattr(os, "sched_getaffinity")
    count = os.cpu_count() or 1
    assert cores(tmp_path) == Cores(count, count, None)


@pytest.mark.parametrize(("variable", "expected"), [("", usable_cores()), ("7", 7)])
def test_tokenizer_threads_are_limited_unless_the_operator_sets_them(variable: str, expected: int) -> None:
    """Rayon reads the variable when the first batch of texts arrives."""
    code = (
        "import os; from rerank_service.engine.host import limit_tokenizer_threads as limit; limit();"
        "print(os.environ['RAYON_NUM_THREADS'])"
    )
    others = {name: value for name, value in os.environ.items() if name != "RAYON_NUM_THREADS"}
    environment = others | ({"RAYON_NUM_THREADS": variable} if variable else {})
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert int(ran.stdout) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_tokenizer_threads_have_the_priority_of_the_process() -> None:
    """Although the first batch of texts is tokenized by a thread that loads a model, which gives way."""
    code = """
import os, threading
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from rerank_service.encoding.tokenizer import start_batch_threads
from rerank_service.thread_priority import give_way

def load():
    give_way()
    Tokenizer(WordLevel({"a": 0}, "a")).encode_batch(["a"] * 100)
    loading.append(threading.get_native_id())

loading = []
start_batch_threads()
thread = threading.Thread(target=load)
thread.start()
thread.join()
threads = {int(each) for each in os.listdir("/proc/self/task")} - set(loading)
print(len(threads), {os.getpriority(os.PRIO_PROCESS, each) - os.getpriority(os.PRIO_PROCESS, 0) for each in threads})
"""
    environment = os.environ | {"RAYON_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "true"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    count, priorities = ran.stdout.split(maxsplit=1)
    assert int(count) >= 4  # the main thread and Rayon's
    assert priorities.strip() == "{0}"

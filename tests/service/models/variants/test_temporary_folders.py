"""Temporary folders: those of killed processes are removed, and those of running ones are kept."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rerank_service.models.variants.temporary_folders import temporary_folder

_HOLD = """
import sys
from pathlib import Path
from rerank_service.models.variants.temporary_folders import temporary_folder

with temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "model.onnx").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


def _folders(parent: Path) -> set[Path]:
    """Return the folders beside a new one."""
    with temporary_folder(parent) as folder:
        return set(parent.iterdir()) - {folder}


def test_folder_of_a_running_process_is_kept_until_it_is_killed(tmp_path: Path) -> None:
    """The lock ends with the process. The volume of a pod stays when its container starts again."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            held = Path(process.stdout.readline().strip())
            assert _folders(tmp_path) == {held}
        finally:
            process.kill()
    assert (held / "model.onnx").exists()
    assert _folders(tmp_path) == set()


def test_folder_is_removed_after_the_block_and_after_an_error(tmp_path: Path) -> None:
    """With its files."""
    with pytest.raises(KeyError), temporary_folder(tmp_path) as folder:
        (folder / "model.onnx").write_bytes(b"graph")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("hours", "is_kept"), [(25, False), (1, True)])
@pytest.mark.parametrize("host", ["not-{}", "{}-2"])
def test_folder_of_another_machine_is_removed_after_a_day(tmp_path: Path, host: str, hours: int, is_kept: bool) -> None:
    """On a network file system, the locks of another machine may not be seen."""
    other = tmp_path / f".rerank-{host.format(socket.gethostname())}-abc"
    other.mkdir()
    os.utime(other, (time.time() - 3600 * hours,) * 2)
    assert _folders(tmp_path) == ({other} if is_kept else set())


def test_other_hidden_files_are_kept(tmp_path: Path) -> None:
    """The folder for temporary files of the system has those of other programs."""
    (tmp_path / ".other").mkdir()
    os.utime(tmp_path / ".other", (0, 0))
    assert _folders(tmp_path) == {tmp_path / ".other"}


def test_what_is_no_folder_is_never_waited_for(tmp_path: Path) -> None:
    """Any user may put a FIFO into the folder for temporary files. Its opening would wait for a writer."""
    fifo = tmp_path / f".rerank-{socket.gethostname()}-abc"
    os.mkfifo(fifo)
    assert _folders(tmp_path) == {fifo}

"""Exit status of a server whose disk or network file system fails, or whose files are missing.

Linux fails reads of /proc/self/mem with EIO.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.process import command, environment

_FAILING = Path("/proc/self/mem")


def _hub_folder(folder: Path) -> list[str]:
    (folder / "model.onnx").touch()
    (folder / "tokenizer.json").touch()
    (folder / "config.json").symlink_to(_FAILING)
    return ["--model", str(folder)]


def _bundle(folder: Path) -> list[str]:
    (folder / "manifest.json").symlink_to(_FAILING)
    return ["--model", str(folder)]


def _ended(*flags: str) -> subprocess.CompletedProcess[str]:
    """Start a server that must end with one line."""
    serve = command("serve", "--grpc-port", "0", "--rest-port", "0", *flags)
    ended = subprocess.run(serve, capture_output=True, text=True, env=environment(), timeout=60)
    assert "Traceback" not in ended.stderr
    return ended


@pytest.mark.parametrize(
    "write",
    [
        _hub_folder,
        _bundle,
        pytest.param(lambda _: ["--models", str(_FAILING)], id="models file"),
        pytest.param(lambda _: ["--api-keys-file", str(_FAILING)], id="keys file"),
        pytest.param(lambda _: ["--tls-cert", str(_FAILING), "--tls-key", str(_FAILING)], id="TLS files"),
    ],
)
def test_systemd_starts_a_server_again_whose_storage_fails(write: Callable[[Path], list[str]], tmp_path: Path) -> None:
    """Status 2 means a wrong setting: `RestartPreventExitStatus` of the unit excludes it."""
    ended = _ended(*write(tmp_path))
    assert "Input/output error" in ended.stderr
    assert ended.returncode == 1


@pytest.mark.parametrize(
    "flags", [("--model",), ("--models",), ("--api-keys-file",), ("--tls-key", "absent.key", "--tls-cert")]
)
def test_missing_file_or_folder_is_a_wrong_setting(flags: tuple[str, ...], tmp_path: Path) -> None:
    """A mount that is missing looks like a wrong path. docs/operations.md says how systemd waits for it."""
    absent = str(tmp_path / "absent/file")
    ended = _ended(*flags, absent)
    assert f"{flags[-1]} " in ended.stderr
    assert absent in ended.stderr
    assert ended.returncode == 2


def test_mount_point_without_its_mount_is_a_wrong_setting(tmp_path: Path) -> None:
    """Its folder is empty."""
    ended = _ended("--model", str(tmp_path))
    assert f"{tmp_path} has neither manifest.json nor model.onnx" in ended.stderr
    assert ended.returncode == 2

"""Exit status of a server whose disk or network file system fails. Linux fails reads of /proc/self/mem with EIO."""

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
    serve = command("serve", "--grpc-port", "0", "--rest-port", "0", *write(tmp_path))
    ended = subprocess.run(serve, capture_output=True, text=True, env=environment(), timeout=60)
    assert "Input/output error" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1

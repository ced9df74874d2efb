"""An export that is asked to end removes its work folder."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_export.bundle import bundle_builder
from rerank_service.__main__ import main
from support.commands import start_rerank


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_export_leaves_nothing(number: signal.Signals, status: int, source: Path, tmp_path: Path) -> None:
    """SIGINT is Ctrl-C, SIGTERM comes from CI and Docker, SIGHUP from a closed session. They arrive after the work has
    begun."""
    process = start_rerank("export", str(source), "--out", "made/out", cwd=tmp_path)
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("exporting"))
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []


_BUSY = """
import hashlib, sys
from rerank_export import interruption
from rerank_export.bundle import bundle_builder
from rerank_service.__main__ import main

interruption.GRACE_SECONDS = 0.1

def busy(*_):
    print("busy", file=sys.stderr, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

bundle_builder.export_graph = busy
sys.exit(main())
"""


def test_export_in_native_code_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """Python's signal handlers do not run during native code, and Docker kills the process after ten seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BUSY, "export", str(source), "--out", "made/out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("busy"))
    assert list(tmp_path.iterdir())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=9)
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_that_a_library_turns_into_an_error_ends_the_process(
    number: signal.Signals, status: int, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A native module that is interrupted while it loads raises ImportError."""

    def loading(*_: object) -> None:
        try:
            signal.raise_signal(number)
        except BaseException as stop:
            raise ImportError("initialization failed") from stop

    monkeypatch.setattr(bundle_builder, "export_graph", loading)
    monkeypatch.setattr(sys, "argv", ["rerank", "export", str(source), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main())
    assert ended.value.code == status
    assert list(tmp_path.iterdir()) == []

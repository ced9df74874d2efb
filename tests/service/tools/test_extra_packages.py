"""Extras that commands need: a missing package is named before any work, with the command that installs it."""

import sys
from pathlib import Path

import pytest

from rerank_service import __main__ as entry
from rerank_service.errors import ExtraMissing
from rerank_service.installation import install_command
from rerank_service.tools.extra_packages import MATPLOTLIB, check_extra


def test_installed_packages_are_accepted() -> None:
    """The name of a package may differ from that of its module."""
    check_extra("calibrate", MATPLOTLIB | {"scikit-learn": "sklearn"})


def test_first_missing_package_is_named_with_the_extra() -> None:
    """The name is that of the package, and not of its module."""
    with pytest.raises(ExtraMissing, match=r"^no-such-package is not installed\. Install the extra bench: "):
        check_extra("bench", MATPLOTLIB | {"no-such-package": "rerank_no_such_module"})


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("bench", "--server", "127.0.0.1:1", "--png", "load.png"), "bench"),
        (("eval", "scifact.jsonl", "--png", "ndcg.png"), "bench"),
        (("calibrate", "--model", "starter", "--labels", "labels.jsonl"), "calibrate"),
    ],
)
def test_commands_without_matplotlib_say_the_same(
    words: tuple[str, ...],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No server is called, and no file is read or written before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert entry._main(list(words)) == 1
    assert capsys.readouterr().err == (
        f"rerank: matplotlib is not installed. Install the extra {extra}: {install_command(extra)}\n"
    )
    assert list(tmp_path.iterdir()) == []

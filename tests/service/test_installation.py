"""Commands in hints work with this installation."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rerank_service.installation import command_name, install_command, serve_command, server_install_command


def _installed_from(folder: Path, record: object) -> Path:
    """Write the metadata that an installer keeps of a package into a folder, and return the folder."""
    metadata = folder / "rerank_service-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rerank-service\nVersion: 1.0\n")
    if record is not None:
        (metadata / "direct_url.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("record", "source"),
    [
        ({"url": "file://{here}/check%20out", "dir_info": {"editable": True}}, "-e './check out[gpu]'"),
        ({"url": "file://{here}", "dir_info": {}}, "'.[gpu]'"),
        ({"url": "file://{here}/dist/a.whl", "archive_info": {}}, "'dist/a.whl[gpu]'"),
        ({"url": "file://{here}/gone.whl", "archive_info": {}}, "'CHECKOUT_OR_WHEEL[gpu]'"),
        ({"url": "https://host/a.whl", "archive_info": {}}, "'rerank-service[gpu] @ https://host/a.whl'"),
        (
            {"url": "https://host/a.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}},
            "'rerank-service[gpu] @ git+https://host/a.git@12ab'",
        ),
        (None, "'CHECKOUT_OR_WHEEL[gpu]'"),
    ],
)
def test_an_extra_is_installed_from_the_source_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, object] | None, source: str
) -> None:
    """PEP 610 records the source. Without a record, the command has a placeholder."""
    here = tmp_path / "here"
    (here / "check out").mkdir(parents=True)
    (here / "dist").mkdir()
    (here / "dist" / "a.whl").touch()
    monkeypatch.chdir(here)
    if record is not None:
        record = record | {"url": str(record["url"]).format(here=here)}
    monkeypatch.syspath_prepend(_installed_from(tmp_path / "site", record))
    assert importlib.metadata.version("rerank-service") == "1.0"
    command = install_command("gpu")
    assert command.endswith(f" {source}")
    assert "pip" in command


def test_the_command_name_works_in_the_current_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name if PATH finds the script, else its path, relative to the current folder if it is below that folder."""
    script = tmp_path / "venv" / "bin" / "rerank"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert command_name() == "venv/bin/rerank"
    monkeypatch.chdir(script.parent)
    assert command_name() == "./rerank"
    monkeypatch.chdir("/")
    assert command_name() == str(script).removeprefix("/")
    monkeypatch.setenv("PATH", str(script.parent))
    assert command_name() == "rerank"


def test_help_shows_a_command_name_that_works() -> None:
    """The examples contain it."""
    script = Path(sys.executable).with_name("rerank")
    done = subprocess.run([script, "eval", "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "rerank eval data/trec-dl19.jsonl.gz --depth 100" in " ".join(done.stdout.split())


def test_command_for_anywhere_has_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a notebook is not that of a terminal."""
    record = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    monkeypatch.syspath_prepend(_installed_from(tmp_path / "site", record))
    monkeypatch.chdir(tmp_path)
    assert install_command("cpu").endswith(" -e '.[cpu]'")
    assert install_command("cpu", anywhere=True).endswith(f" -e '{tmp_path}[cpu]'")


def test_bundle_is_served_by_the_command_of_make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the exporter has torch, and is no place for a server. Elsewhere, its own command is named."""
    own = serve_command()
    assert own == f"{command_name()} serve --model"
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(
        _installed_from(tmp_path / "site", {"url": "file:///x", "dir_info": {"editable": True}})
    )
    script = tmp_path / ".venv" / "bin" / "rerank"
    script.parent.mkdir(parents=True)
    script.touch()
    monkeypatch.chdir(tmp_path)
    assert serve_command() == f"{command_name()} serve --model"
    (tmp_path / "Makefile").touch()
    monkeypatch.setenv("PATH", "/nowhere")
    assert serve_command() == ".venv/bin/rerank serve --model"
    script.unlink()
    assert serve_command() == f"{command_name()} serve --model"


@pytest.mark.parametrize(
    ("installed", "extra"),
    [((), "cpu"), (("onnxruntime",), "cpu"), (("onnxruntime-gpu",), "gpu"), (("onnxruntime-openvino",), "openvino")],
)
def test_packages_of_a_server_are_installed_for_the_runtime_that_is_there(
    installed: tuple[str, ...], extra: str
) -> None:
    """Another extra would replace files of this runtime."""
    assert f"[{extra}]" in server_install_command(lambda name: "1" if name in installed else None)

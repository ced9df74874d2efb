"""The server of local clients: its settings and its start."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rerank.client import RerankClient
from rerank_service.errors import BundleInvalid, OperatorError, SettingsInvalid
from rerank_service.local_server import LocalServer
from rerank_service.models.bundle import Bundle

pytestmark = pytest.mark.usefixtures("unconfigured_log")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lane": 1}, "lane is not a setting: did you mean lanes?"),
        ({"colour": 1}, "colour is not a setting: docs/settings.md lists the settings"),
        ({"host": "::"}, "host has no effect on a local client"),
        ({"api_keys": "k"}, "api_keys has no effect on a local client"),
        ({"watch": True}, "watch has no effect on a local client"),
        ({"tune_seconds": 5}, "tune_seconds has no effect on a local client"),
        ({"batch_timeout": 10}, "batch_timeout has no effect on a local client"),
        ({"lanes": 0}, "RERANK_LANES is 0: give a whole number from 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_settings_are_rejected(settings: dict[str, Any], words: str) -> None:
    """In one line that names the setting."""
    with pytest.raises(SettingsInvalid, match=words):
        RerankClient.local(**settings)


def test_a_model_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    """The error is the same as at the start of the server."""
    with pytest.raises(BundleInvalid, match="is not a folder"):
        RerankClient.local(tmp_path / "missing")
    assert not isinstance(BundleInvalid(""), ValueError)
    assert issubclass(BundleInvalid, OperatorError)


def test_settings_apply(small_model: Bundle) -> None:
    """Settings of the call override variables, and variables of keys, TLS and ports have no effect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERANK_MAX_DOCUMENTS", "7")
        patch.setenv("RERANK_MODEL_NAME", "variable")
        patch.setenv("RERANK_API_KEYS", "sesame")
        patch.setenv("RERANK_TLS_CERT", "/missing.crt")
        patch.setenv("RERANK_MODELS", "/missing.yaml")
        patch.setenv("RERANK_WATCH", "true")
        with RerankClient.local(small_model.folder, model_name="mine", precision="fp32") as client:
            (model,) = client.models()
    assert (model.name, model.max_documents, model.precision) == ("mine", 7, "fp32")


def test_several_models_can_be_local(small_model: Bundle, tmp_path: Path) -> None:
    """By a models file."""
    file = tmp_path / "models.yaml"
    file.write_text(f"- {{name: a, bundle: {small_model.folder}}}\n- {{name: b, bundle: {small_model.folder}}}\n")
    with RerankClient.local(models=file) as client:
        assert [model.name for model in client.models()] == ["a", "b"]
        assert client.rerank("0", ["1"], model="b").model == "b"


def test_a_long_folder_for_temporary_files_is_not_used(
    small_model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket is at most 107 bytes long."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    server = LocalServer(small_model.folder, {})
    server.close()
    assert server.target.startswith("unix:/tmp/rerank-")


def test_nothing_is_printed(small_model: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    """A notebook would show it."""
    RerankClient.local(small_model.folder).close()
    assert capfd.readouterr() == ("", "")


def test_the_rest_server_is_not_imported() -> None:
    """FastAPI and uvicorn take a third of a second."""
    code = "import sys, rerank_service.local_server; print(*({'fastapi', 'uvicorn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"

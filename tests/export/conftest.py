"""Fixtures of the exporter's tests: small models, their bundles, and a failing `rerank export`."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from rerank_service.models.bundle import Bundle
from support.encoders import write_encoder

os.environ["HF_HUB_OFFLINE"] = "1"  # set before huggingface_hub is imported
os.environ["OMP_NUM_THREADS"] = "1"  # set before torch is imported: with models so small, threads only wait
os.environ["RERANK_PARITY_QUERIES"] = "2"  # of 200 queries: each export is compared with torch

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow warnings in these tests: torch, transformers and optimum warn about one another."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the folder of an architecture's model. It is written once and must not be changed."""

    @cache
    def write(architecture: str) -> Path:
        return write_encoder(tmp_path_factory.mktemp("sources") / architecture, architecture)

    return write


@pytest.fixture(scope="session")
def bundles(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Give the bundle of an architecture's model. It is exported once and must not be changed."""

    @cache
    def make(architecture: str) -> Bundle:
        from rerank_export.export_request import ExportRequest
        from rerank_export.exporter import export

        out = tmp_path_factory.mktemp("bundles") / architecture
        return export(ExportRequest(str(sources(architecture)), out)).bundle

    return make


@pytest.fixture
def source(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a BERT that the test may change."""
    return shutil.copytree(sources("bert"), tmp_path_factory.mktemp("changed") / "model")


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `rerank export MODEL --out OUT …`, which must fail, and return the last line of its output."""
    from rerank_service.__main__ import main

    def run(model: str | Path, out: str | Path = "out", *options: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["rerank", "export", str(model), "--out", str(out), *options])
        capsys.readouterr()  # the output of the fixtures
        assert main() == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        *_, last = printed.err.splitlines()
        assert "Traceback" not in printed.err
        assert last.startswith("rerank export: ")
        return last.removeprefix("rerank export: ")

    return run

"""Fixtures: one server and one process for all pages, and a folder for each page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.page_runner import PageRunner, started_runner
from support.page_sandbox import Server, copy_bundle, write_sandbox
from support.process import started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with the bundled model."""
    sockets = tmp_path_factory.mktemp("sockets")
    with started("--host", f"127.0.0.1,unix:{sockets}") as process:
        yield Server(process, sockets)


@pytest.fixture(scope="module")
def runner() -> Iterator[PageRunner]:
    """Start the process that runs the pages."""
    with started_runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the bundled model."""
    return copy_bundle(tmp_path_factory.mktemp("models"))


@pytest.fixture
def sandbox(tmp_path: Path, bundle: Path) -> Path:
    """Return a folder with the files that commands of the pages read."""
    write_sandbox(tmp_path, bundle)
    return tmp_path

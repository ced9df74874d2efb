"""The image, built once, and a container of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.container import Container, container
from support.container_image import Image, built, debian_base


@pytest.fixture(scope="session")
def base() -> str:
    """Return the base: the one of `make image-test BASE=…`, or one that debootstrap made."""
    return os.environ.get("IMAGE_TEST_BASE") or debian_base()


@pytest.fixture(scope="session")
def image(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Build the image."""
    with built(base, tmp_path_factory.mktemp("build")) as made:
        yield made


@pytest.fixture(scope="session")
def again(image: Image, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Build it a second time from the same commit."""
    if not os.environ.get("IMAGE_TEST_TWICE"):
        pytest.skip("builds the image again: make image-test TWICE=1")
    with built(base, tmp_path_factory.mktemp("build")) as made:
        yield made


@pytest.fixture(scope="session")
def server(image: Image) -> Iterator[Container]:
    """Run the image."""
    with container(image.name) as started:
        yield started


@pytest.fixture
def own_server(image: Image) -> Iterator[Container]:
    """Run the image for one test, which ends it."""
    with container(image.name) as started:
        yield started


@pytest.fixture(scope="session")
def sbom_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path for the list of packages."""
    return tmp_path_factory.mktemp("sbom") / "sbom.json"

"""The version of the code, which is part of the key of a tuning."""

import shutil
from importlib import resources
from pathlib import Path

from rerank_service import __version__
from rerank_service.models.tuning.source_digest import PACKAGES, code_version, source_digest


def test_source_digest_changes_with_any_source_file(tmp_path: Path) -> None:
    """A changed line, or a new file."""
    with resources.as_file(resources.files(PACKAGES[0])) as source:
        copy = shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    digests = [source_digest([resources.files(PACKAGES[0])]), source_digest([copy])]
    with (copy / "openvino.py").open("a") as file:
        file.write("\n")
    digests.append(source_digest([copy]))
    (copy / "another.py").touch()
    digests.append(source_digest([copy]))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_digested_packages_have_source_files() -> None:
    """Otherwise a change would not be noticed."""
    assert code_version().startswith(f"{__version__} ")
    nothing = source_digest([])
    assert all(source_digest([resources.files(package)]) != nothing for package in PACKAGES)

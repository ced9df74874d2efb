"""Check the packages of an extra that a command needs."""

from collections.abc import Mapping
from importlib.util import find_spec

from rerank_service.errors import ExtraMissing

MATPLOTLIB = {"matplotlib": "matplotlib"}
"""The package that draws plots."""


def check_extra(extra: str, packages: Mapping[str, str]) -> None:
    """Check that the packages of an extra are installed, before any work is done. None is imported.

    `packages` are the names of the packages, each with the module that it installs.

    Raises:
        ExtraMissing: one of them is not installed.
    """
    for package, module in packages.items():
        if find_spec(module) is None:
            raise ExtraMissing(package, extra)

"""A server of this version that serves the bundle of an earlier one."""

from collections.abc import Iterator

import pytest

from support.process import Process, started
from upgrade.recorded import BUNDLE
from upgrade.recorder.options import OPTIONS


@pytest.fixture(scope="session")
def server() -> Iterator[Process]:
    """Start a server with the options of the recorded one."""
    with started("--model", str(BUNDLE), *OPTIONS) as process:
        yield process

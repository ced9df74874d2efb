"""Fixtures of all tests: models, and a running reranker with its servers."""

import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hypothesis import settings

from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.files import STARTER
from support.running import Running, Served, running, served
from support.small import write_small_model

# "ours" has the same examples each time, "few" a part of them, for other versions of packages, and "nightly" new ones
# and more. None has a deadline, for slow machines
settings.register_profile("ours", deadline=None, derandomize=True)
settings.register_profile("few", deadline=None, derandomize=True, max_examples=10)
settings.register_profile("nightly", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ours"))

# a shell without job control lets background commands ignore SIGINT, and the processes of tests would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest imports readline, which sets them for the processes of pytest-xdist: their commands would believe in a terminal
for variable in ("COLUMNS", "LINES"):
    os.environ.pop(variable, None)


# settings and cached tunings of this user: a local client, and the commands of the benchmark, would use them
for variable in [name for name in os.environ if name.startswith("RERANK_")]:
    del os.environ[variable]
os.environ["RERANK_CACHE"] = os.devnull

# a proxy of this user: it reaches no server of a test
no_proxy = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost", "::1"]
os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, no_proxy))


def pytest_make_parametrize_id(val: object, argname: str) -> None:
    """Reject gzip data in the name of a test: it holds the time, and the processes of pytest-xdist need equal names."""
    if isinstance(val, bytes) and b"\x1f\x8b\x08" in val:
        raise pytest.UsageError(f"{argname} holds gzip data, and with it the time: name the parameters with ids=[...]")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the bundle of the small model."""
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def starter() -> Bundle:
    """Return the bundle of the starter model."""
    return open_bundle(STARTER)


@pytest.fixture(scope="module")
def unconfigured_log() -> Iterator[None]:
    """Reset the log, which a local client sends to the module logging only if nobody has configured it before."""
    configured = structlog.get_config() if structlog.is_configured() else None
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    if configured:
        structlog.configure(**configured)


@pytest.fixture
async def core(small_model: Bundle) -> AsyncIterator[Running]:
    """Yield a running reranker on the small model, with one lane."""
    async with running(small_model) as parts:
        yield parts


@pytest.fixture
async def edges(core: Running) -> AsyncIterator[Served]:
    """Yield the servers of both protocols, on the small model."""
    async with served(core) as parts:
        yield parts

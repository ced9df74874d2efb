"""Fixtures of client tests: the recording proxy and the harness."""

import json
import os
from collections.abc import Generator, Iterator

import pytest

from clients import golden_pairs, records
from clients.harness import Harness
from clients.recording_proxy import RecordingProxy, recording_proxy

pytest.register_assert_rewrite("clients.cases")
_PASSED = pytest.StashKey[bool]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the inherited tests of a class for each of its cases."""
    if "case" in metafunc.fixturenames and metafunc.cls is not None:
        metafunc.parametrize("case", metafunc.cls.cases, ids=str)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test passed."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def recorder() -> Iterator[RecordingProxy]:
    """Run one recording proxy for all tests."""
    with recording_proxy(json.loads(os.environ["CLIENTS_SERVERS"])) as recorder:
        yield recorder


@pytest.fixture
def harness(request: pytest.FixtureRequest, recorder: RecordingProxy) -> Iterator[Harness]:
    """Yield the harness of a test. Its setups and calls are recorded if the test passes."""
    recorder.clear()
    harness = Harness(recorder, os.environ["CLIENTS_KEY"], os.environ["CLIENTS_GRPC"])
    yield harness
    if harness.setups and request.node.stash.get(_PASSED, False):
        used = [setup.record for setup in harness.setups]
        records.add(used)
        golden_pairs.add(used[0], recorder.calls)

"""The front, and the ground that tests of clients stand on."""

import json
import os
from collections.abc import Generator, Iterator

import pytest

from clients import pairs, records
from clients.front import Front, fronting
from clients.ground import Ground

pytest.register_assert_rewrite("clients.cases")
_PASSED = pytest.StashKey[bool]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the checks that a class inherits for each of its cases."""
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
def front() -> Iterator[Front]:
    """One for all tests."""
    with fronting(json.loads(os.environ["CLIENTS_SERVERS"])) as front:
        yield front


@pytest.fixture
def ground(request: pytest.FixtureRequest, front: Front) -> Iterator[Ground]:
    """Where a test opens its clients. Which they were and what passed is recorded once the test has passed."""
    front.clear()
    ground = Ground(front, os.environ["CLIENTS_KEY"], os.environ["CLIENTS_GRPC"])
    yield ground
    if ground.ways and request.node.stash.get(_PASSED, False):
        told = [way.record for way in ground.ways]
        records.add(told)
        pairs.add(told[0], front.calls)

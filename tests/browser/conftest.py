"""Fixtures of the browser tests: one Chromium and one server for all, on one event loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from rerank_service.models.bundle import Bundle
from support.browser import opened_browser, opened_example, playground
from support.limits import batch_limits
from support.running import Running, Served, build_held, running, running_lanes

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the screenshots."""
    parser.addoption("--screenshots", action="store_true", help="write the screenshots of docs/images")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of this folder on the loop of Chromium and the server."""
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        if isinstance(item, pytest.Function) and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Yield Chromium."""
    async with opened_browser() as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def two_models(starter: Bundle, small_model: Bundle) -> AsyncIterator[Running]:
    """Yield a reranker with the starter model, and with the small model as a second one."""
    second, held = build_held(small_model, limits=batch_limits(), lanes=1)
    async with running(starter) as core, running_lanes(second.scheduler, held):
        core.registry.add(second)
        yield core


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(two_models: Running) -> AsyncIterator[Served]:
    """Yield a server with the page, and without keys."""
    async with playground(two_models) as edges:
        yield edges


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Served) -> AsyncIterator[Page]:
    """Yield the page in a tab of its own, after it has ranked its example."""
    async with opened_example(browser, site) as tab:
        yield tab

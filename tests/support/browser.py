"""Open the playground in Chromium, and read its content."""

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from rerank_service.api.http.playground.routes import Playground
from support.running import Running, Served, served

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""Names of Chromium: of Debian, of Ubuntu, and of Google's packages."""
_TIMEOUT = 60_000
"""Milliseconds until a test gives up. Nothing waits so long on a machine that is not overloaded."""
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""


def chromium() -> str | None:
    """Return the path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def opened_browser() -> AsyncIterator[Browser]:
    """Start Chromium during the block. The tests run as root in containers, where its sandbox cannot start."""
    executable = chromium()
    assert executable, f"no Chromium: install one of {', '.join(NAMES)}"
    expect.set_options(timeout=_TIMEOUT)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened_page(browser: Browser, **options: Any) -> AsyncIterator[Page]:
    """Open a tab. At the end, check that no script failed and that the page kept its policy. `options` are those of a
    context."""
    context = await browser.new_context(**options)
    context.set_default_timeout(_TIMEOUT)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.add_init_script(_WATCH)
    try:
        yield page
        assert not errors
        assert await page.evaluate("window.violations ?? []") == []
    finally:
        await context.close()


@asynccontextmanager
async def opened_example(browser: Browser, edges: Served) -> AsyncIterator[Page]:
    """Open the page in a tab of its own, and wait until it has ranked its example."""
    async with opened_page(browser, viewport={"width": 1280, "height": 900}) as tab:
        await tab.goto(url(edges))
        await tab.wait_for_selector(".card")
        yield tab


@asynccontextmanager
async def playground(core: Running, **options: Any) -> AsyncIterator[Served]:
    """Serve a reranker with the page. `options` are those of `served`."""
    async with served(core, playground=Playground(grpc_port=0), **options) as edges:
        edges.routes.ready = True
        yield edges


def url(edges: Served, path: str = "/") -> str:
    """Return the address of the page."""
    return str(edges.http.base_url.join(path))


async def fill(page: Page, query: str, documents: Sequence[Any]) -> None:
    """Type a query and documents, as JSON, and rank them."""
    await page.check("#format input[value=json]", force=True)
    await page.fill("#query", query)
    await page.fill("#documents", json.dumps(documents))
    await rank(page)


async def rank(page: Page) -> None:
    """Press the button, and wait until the call has ended."""
    await page.click("#rank")
    await ended(page)


async def ended(page: Page) -> None:
    """Wait until no call runs."""
    await page.wait_for_selector("#rank:not([data-running])")


async def cards(page: Page, within: str = "#columns") -> list[int]:
    """Return the documents of the cards, in the order of the page."""
    indexes = await page.eval_on_selector_all(
        f"{within} .card", "cards => cards.map(card => Number(card.dataset.index))"
    )
    return list(indexes)


async def code(page: Page, tab: str) -> str:
    """Choose a form of the call, and return its text."""
    await page.click(f"#code [role=tab]:text-is('{tab}')")
    return str(await page.inner_text("#code-text code"))


async def drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file on the documents."""
    transfer = await page.evaluate_handle(
        """([name, bytes]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name));
          return transfer;
        }""",
        [name, list(content)],
    )
    for event in ("dragover", "drop"):
        await page.dispatch_event("#drop", event, {"dataTransfer": transfer})


AXE = Path(__file__).parents[1] / "browser" / "node_modules" / "axe-core" / "axe.min.js"


async def barriers(page: Page) -> list[str]:
    """Return what axe finds to be a serious or critical barrier for people with disabilities."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]

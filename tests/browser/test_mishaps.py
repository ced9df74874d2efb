"""Mishaps around the page: strange responses, passwords in its address, input methods, a forbidden clipboard."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from rerank_service.models.bundle import Bundle
from support.browser import cards, code, ended, opened_page, playground, rank, url
from support.running import Running, Served, running

STRANGE: dict[str, Any] = {
    "another document": {"results": [{"index": 99, "relevance_score": 1}]},
    "no score": {"results": [{"index": 0, "relevance_score": None}]},
    "no result": {"results": [None]},
    "no list": {"results": {}},
    "null": None,
}


async def _answer(page: Page, status: int, body: str) -> None:
    """Answer rankings in the place of the server, as a proxy does."""

    async def fulfill(route: Route) -> None:
        await route.fulfill(status=status, body=body, content_type="application/json")

    await page.route("**/v1/rerank", fulfill)


async def test_response_that_is_no_ranking(page: Page) -> None:
    """The page says so, and can rank again."""
    for body in STRANGE.values():
        await _answer(page, 200, json.dumps(body))
        await rank(page)
        await expect(page.locator(".banner[role=alert]")).to_contain_text("The response is not a ranking")
        await page.unroute("**/v1/rerank")
        await page.get_by_role("button", name="Try again").click()
        await page.wait_for_selector(".card")


async def test_error_that_names_no_field_of_ours(page: Page) -> None:
    """Names of JavaScript's objects are no fields of the page; HTML of a proxy stays text."""
    for name in ("constructor", "__proto__", "toString"):
        await _answer(page, 422, json.dumps({"message": "<b>wrong</b>", "error": {"param": name}}))
        await rank(page)
        await expect(page.locator(".banner[role=alert]")).to_contain_text("<b>wrong</b>")
        await page.unroute("**/v1/rerank")
    await _answer(page, 502, "<script>window.evil = 1</script>")
    await rank(page)
    await expect(page.locator(".banner[role=alert]")).to_contain_text("status 502")
    assert await page.evaluate("window.evil") is None


async def test_error_of_a_proxy_is_at_no_field(page: Page) -> None:
    """Its status says nothing about the key or the model. The button gives its focus back."""
    for status in (401, 403, 404):
        await _answer(page, status, json.dumps({"message": "Not here"}))
        await rank(page)
        await expect(page.locator(".banner[role=alert]")).to_contain_text(f"Status {status}")
        await expect(page.locator(".banner[role=alert]")).to_contain_text("Not here")
        await page.unroute("**/v1/rerank")
    await page.get_by_role("button", name="Try again").click()
    await page.wait_for_selector(".card")
    assert await page.evaluate("document.activeElement.className") == "column"


async def test_marks_that_are_no_positions(page: Page) -> None:
    """They are left out."""
    result = {"index": 0, "relevance_score": 0.5, "best_window": {"start": -5, "end": "x"}, "highlights": "no"}
    await _answer(page, 200, json.dumps({"results": [result, {**result, "index": 1, "highlights": [None, {}, 1]}]}))
    await rank(page)
    assert await cards(page) == [0, 1]
    assert await page.locator("mark").count() == 0


async def test_password_in_the_address_bar(browser: Browser, site: Served) -> None:
    """Browsers refuse to fetch such URLs, and copied texts must not have the password."""
    async with opened_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.goto(url(site).replace("://", "://somebody:sesame@"))
        await page.wait_for_selector(".card")
        await ended(page)
        for tab in ("curl", "Cohere SDK", "RerankClient"):
            assert "sesame" not in await code(page, tab)
        await page.click("#share")
        await expect(page.locator("#status")).to_contain_text("The link is copied")
        link = str(await page.evaluate("navigator.clipboard.readText()"))
        assert link.startswith(f"{url(site)}#")


@pytest.mark.parametrize("event", [{"isComposing": True}, {"keyCode": 229}, {"repeat": True}], ids=str)
async def test_enter_that_ranks_nothing(page: Page, event: dict[str, Any]) -> None:
    """Enter ends a word of an input method, as for Japanese. A held key acts once."""
    await page.evaluate(
        """(init) => {
          const options = {key: "Enter", bubbles: true, cancelable: true, ...init};
          document.getElementById("query").dispatchEvent(new KeyboardEvent("keydown", options));
        }""",
        event,
    )
    assert await page.locator("#rank[data-running]").count() == 0


async def test_browser_that_forbids_copying(page: Page) -> None:
    """The page says what to do instead."""
    await page.evaluate(
        """() => {
          navigator.clipboard.writeText = () => Promise.reject(new DOMException("no", "NotAllowedError"));
          document.execCommand = () => false;
        }"""
    )
    await page.click("#share")
    await expect(page.locator("#status")).to_have_text("The browser forbids copying. The link is in the address bar.")
    await page.click("#code button:text-is('Copy')")
    await expect(page.locator("#code button:text-is('Not allowed: select the text')")).to_be_visible()


async def test_server_that_comes_back(browser: Browser, two_models: Running) -> None:
    """The models are listed then."""
    async with playground(two_models) as edges, opened_page(browser) as page:
        await page.route("**/v1/*", lambda route: route.abort())
        await page.goto(url(edges))
        await expect(page.locator(".banner[role=alert]")).to_contain_text("cannot be reached")
        await page.unroute("**/v1/*")
        await page.get_by_role("button", name="Try again").click()
        await page.wait_for_selector(".card")
        await expect(page.locator("#model-A option")).to_have_count(2)


async def test_missing_query_leaves_no_old_outcome(page: Page) -> None:
    """Neither the words about the last ranking nor an old error."""
    await _answer(page, 502, "")
    await rank(page)
    await page.fill("#query", "")
    await page.click("#rank")
    assert await page.inner_text("#status") == "Not ranked."
    await expect(page.locator(".banner[role=alert]")).to_be_hidden()


async def test_cancelled_ranking_marks_the_old_one(browser: Browser, small_model: Bundle) -> None:
    """It belongs to other settings."""
    async with running(small_model) as core, playground(core) as edges, opened_page(browser) as page:
        await page.goto(url(edges))
        await page.wait_for_selector(".card")
        await ended(page)
        core.score.hold()
        await page.fill("#top_n-A", "1")
        await page.press("#top_n-A", "Enter")
        await page.click("#cancel")
        assert await page.locator(".column[data-stale] .card").count() == 6
        core.score.release()

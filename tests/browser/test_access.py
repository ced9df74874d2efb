"""The playground for everyone: no serious barrier by axe, no sideways scrolling on phones, and a keyboard is enough."""

import pytest
from playwright.async_api import Browser, Page

from support.browser import barriers, cards, ended, fill, opened_page, url
from support.running import Served


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(browser: Browser, site: Served, scheme: str) -> None:
    """In each view, with errors, marks, and all fields shown."""
    async with opened_page(browser, color_scheme=scheme, viewport={"width": 1280, "height": 900}) as page:
        await page.goto(url(site))
        await page.wait_for_selector(".card")
        await page.click("summary")
        await page.click("#show-key")
        for view in ("two", "order", "one"):
            await page.check(f"#view input[value={view}]", force=True)
            await ended(page)
            await page.hover(".card >> nth=0")
            assert await barriers(page) == []
        await page.fill("#documents", " ")
        await page.click("#code [role=tab] >> nth=1")
        assert await barriers(page) == []
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(background.removeprefix("rgb(").split(",")[0]) < 128) == (scheme == "dark")


async def test_phones_need_no_sideways_scrolling(browser: Browser, site: Served) -> None:
    """Down to 320 pixels, in each view, also with a word that is longer than a line."""
    async with opened_page(browser, viewport={"width": 320, "height": 640}, has_touch=True) as page:
        await page.goto(url(site))
        await page.wait_for_selector(".card")
        await fill(page, "x" * 200, ["y" * 300, "Paris is the capital of France. " * 90, {"long" * 40: "a", "b": "c"}])
        for view in ("one", "order", "two"):
            await page.check(f"#view input[value={view}]", force=True)
            await ended(page)
            for width in (320, 390, 720, 721, 1120, 1121):
                await page.set_viewport_size({"width": width, "height": 640})
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert (
            await page.locator("meta[name=viewport]").get_attribute("content") == "width=device-width, initial-scale=1"
        )


async def test_skip_link_keeps_the_state_in_the_address(page: Page) -> None:
    """It moves the focus to the ranking."""
    before = await page.evaluate("location.hash")
    await page.locator(".skip").focus()
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "results"
    assert await page.evaluate("location.hash") == before != ""


async def test_keyboard_is_enough(page: Page) -> None:
    """Every control has its turn, arrows move between cards and tabs, and Ctrl+Enter ranks."""
    await page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(60):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id || document.activeElement.className"))
        if reached[-1] == "code-text":
            break
    wanted = {
        "skip",
        "example",
        "share",
        "query",
        "documents",
        "rank",
        "show-key",
        "model-A",
        "top_n-A",
        "score_type-A",
    }
    assert wanted <= set(reached)
    assert [name.split()[0] for name in reached if name].count("card") == 1, "one stop for the list"
    await page.locator("#query").focus()
    await page.keyboard.press("Control+A")
    await page.keyboard.type("How do I charge the battery?")
    await page.keyboard.press("Control+Enter")
    await ended(page)
    ranking = await cards(page)
    await page.locator(".card").first.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    assert await page.evaluate("Number(document.activeElement.dataset.index)") == ranking[2]
    await page.keyboard.press("End")
    assert await page.evaluate("Number(document.activeElement.dataset.index)") == ranking[-1]
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.locator("#code [role=tab]").first.focus()
    await page.keyboard.press("ArrowRight")
    assert await page.locator("#code [role=tab][aria-selected=true]").inner_text() == "RerankClient"


async def test_screen_readers_hear_the_result(page: Page) -> None:
    """A polite live region has the outcome; bars and arrows have words beside them."""
    status = page.locator("#status")
    assert await status.get_attribute("aria-live") == "polite"
    assert "is the best of 6" in await status.inner_text()
    assert await page.locator(".move .hidden").first.text_content() in (
        "same place",
        "up 4",
        "down 4",
        "up 2",
        "up 5",
        "up 1",
    )
    assert await page.locator(".bar:not([aria-hidden])").count() == 0
    unnamed = await page.locator("input, select, textarea, button").evaluate_all(
        "controls => controls.filter(c => !c.labels?.length && !c.textContent && !c.ariaLabel).map(c => c.outerHTML)"
    )
    assert unnamed == []


async def test_motion_is_reduced_on_request(browser: Browser, site: Served) -> None:
    """No transition remains."""
    async with opened_page(browser, reduced_motion="reduce") as page:
        await page.goto(url(site))
        await page.wait_for_selector(".card")
        assert await page.evaluate("getComputedStyle(document.querySelector('.bar span')).transitionProperty") in (
            "none",
            "all",
        )
        assert await page.evaluate("getComputedStyle(document.querySelector('.bar span')).transitionDuration") == "0s"

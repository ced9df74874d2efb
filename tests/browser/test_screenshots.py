"""Screenshots of docs/images: `make browser-test SCREENSHOTS=1` writes them."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser, Page

from support.browser import ended, opened_page, rank, url
from support.running import Served

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MAX_BYTES = 150_000
SHOTS: dict[str, dict[str, Any]] = {
    "playground": {"viewport": {"width": 1280, "height": 880}, "color_scheme": "light"},
    "playground-dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
}
VIEWS = {"playground-dark": "two"}


async def _rank_fast(page: Page) -> None:
    """Rank again while other work on this machine slows the ranking down. A reader would take its time for normal."""
    for _ in range(30):
        await rank(page)
        if re.search(r"\b\d+ ms\.", await page.inner_text("#status")):
            return


@pytest.mark.parametrize("name", SHOTS)
async def test_screenshot_is_small(browser: Browser, site: Served, name: str, request: pytest.FixtureRequest) -> None:
    """The committed one, and the new one if it is asked for."""
    target = IMAGES / f"{name}.png"
    if request.config.getoption("--screenshots"):
        async with opened_page(browser, reduced_motion="reduce", **SHOTS[name]) as page:
            await page.goto(url(site))
            await page.wait_for_selector(".card")
            await _rank_fast(page)
            if view := VIEWS.get(name):
                await page.check(f"#view input[value={view}]", force=True)
                await page.select_option("#score_type-B", "raw")
                await ended(page)
                await page.hover(".column:nth-child(2) .card >> nth=0")
            IMAGES.mkdir(exist_ok=True)
            picture = Image.open(io.BytesIO(await page.screenshot()))
            palette = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            palette.save(target, optimize=True)
    assert target.stat().st_size <= MAX_BYTES

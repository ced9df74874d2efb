"""Highlights on the page: the sentences that the server finds best are marked, in excerpts and in whole texts."""

import json
from typing import Any

from playwright.async_api import Browser, Locator, Page, expect

from support.browser import cards, code, ended, fill, opened_page, url
from support.running import Served

BEST = "Paris is the capital of France 😀."
FILLER = "The harbour was built by 👩‍👩‍👧 monks. "
LONG = "😀" * 40 + ". " + FILLER * 30 + f"{BEST} " + FILLER * 60 + "The capital city of France is Paris. " + FILLER * 10
DOCUMENTS: list[Any] = [
    LONG,
    f"😀😀 Rome is in Italy. {BEST} Pizza is good.",
    {"title": "😀", "price": 9.5, "text": BEST},
    {"text": BEST, "by": {"name": "Ann"}},
]
QUERY = "What is the capital of France?"
FORMS = ("curl", "RerankClient", "Python stub", "Cohere SDK", "grpcurl")


async def _highlighted(page: Page) -> list[dict[str, Any]]:
    """Ask for two highlights. Return the results."""
    await page.click("summary")
    await page.fill("#highlights-A", "2")
    await fill(page, QUERY, DOCUMENTS)
    await page.select_option("#column", "*")
    await page.click("#rank")
    await ended(page)
    results: list[dict[str, Any]] = json.loads(await code(page, "Response"))["results"]
    return results


async def _marks(card: Locator, kind: str = "highlight") -> str:
    return "".join(await card.locator(f"mark.{kind}").all_text_contents())


async def test_marks_are_the_sentences_of_the_response(page: Page) -> None:
    """In code points, with emoji before them, and together with the best window."""
    results = {result["index"]: result for result in await _highlighted(page)}
    texts = {0: LONG, 1: str(DOCUMENTS[1]), 2: f"title: 😀\nprice: 9.5\ntext: {BEST}"}
    for index, text in texts.items():
        card = page.locator(f".card[data-index='{index}']")
        spans = sorted((each["start"], each["end"]) for each in results[index]["highlights"])
        expected = "".join(text[start:end] for start, end in spans)
        assert len(spans) == 2
        assert await _marks(card) == expected, "the excerpt has all of them"
        if index == 0:
            shown = await card.locator(".passage").inner_text()
            assert len(shown) < 700
            assert shown.startswith("… ")
            assert shown.endswith(" …")
            await card.get_by_role("button", name="Show all").click()
            window = results[0]["best_window"]
            assert await _marks(card, "window") == text[window["start"] : window["end"]]
        assert await _marks(card) == expected
        assert await card.locator(".passage").text_content() == text


async def test_marks_that_the_page_cannot_place(page: Page) -> None:
    """The text of nested fields is built by the server alone. The card says where the positions are."""
    await _highlighted(page)
    nested = page.locator(".card[data-index='3']")
    assert await nested.locator("mark").count() == 0
    await expect(nested).to_contain_text("marks: see Response")
    await expect(page.locator(".card[data-index='1']")).not_to_contain_text("see Response")


async def test_every_form_of_the_call_asks_for_them(page: Page) -> None:
    """And the link keeps their number."""
    await _highlighted(page)
    for form in FORMS:
        assert any("highlights" in line and "2" in line for line in (await code(page, form)).splitlines()), form
    await page.reload()
    await page.wait_for_selector(".card")
    await ended(page)
    assert await page.input_value("#highlights-A") == "2"
    assert json.loads(await code(page, "Request"))["highlights"] == 2


async def test_wrong_numbers_are_errors_at_the_field(browser: Browser, site: Served) -> None:
    """The server names its bounds. Numbers of settings are sent as they were typed."""
    async with opened_page(browser) as page:
        await page.goto(url(site))
        await page.wait_for_selector(".card")
        await page.click("summary")
        for field, value in {"highlights": "-1", "top_n": "1.5", "max_tokens_per_doc": "2.5"}.items():
            await page.fill(f"#{field}-A", value)
            await page.press(f"#{field}-A", "Enter")
            await expect(page.locator(f"#{field}-A-error")).to_contain_text(field)
            await page.fill(f"#{field}-A", "")
            await page.press(f"#{field}-A", "Enter")
            await ended(page)
        await page.fill("#top_n-A", "1e0")
        await page.press("#top_n-A", "Enter")
        await ended(page)
        assert len(await cards(page)) == 1

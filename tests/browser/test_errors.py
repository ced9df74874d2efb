"""Errors of the playground: each stands beside the field that it belongs to, in words that say what to do."""

import re
from typing import Any

from playwright.async_api import Browser, Page, expect

from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.quota import KeyLimits
from support.browser import cards, drop, ended, fill, opened_page, playground, rank, url
from support.running import Running, running

LINK = """(changes) => {
  const coded = location.hash.slice(1).replaceAll("-", "+").replaceAll("_", "/");
  const state = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(coded), (char) => char.charCodeAt(0))));
  Object.assign(state.columns[0], changes);
  location.hash = btoa(JSON.stringify(state));
}"""
"""Changes the settings of the first column in the fragment of the URL."""


async def _error(page: Page, field: str) -> str:
    """Return the error of a field, which programs for blind people read with the field."""
    control = page.locator(f"#{field}")
    await expect(control).to_have_attribute("aria-invalid", "true")
    shown = page.locator(f"#{field}-error")
    assert await shown.is_visible()
    assert f"{field}-error" in (await control.get_attribute("aria-describedby") or "").split()
    return str(await shown.inner_text())


async def test_documents_that_cannot_be_read(page: Page) -> None:
    """Before anything is sent: the line, and the expected form."""
    cases = {
        ("json", '["a",\n"b"\n"c"]'): r"not JSON from line 3 on.*array of strings",
        ("json", '{"a": 1}'): "This is an object. Give an array",
        ("json", '["a", 1]'): "Document 2 is a number",
        ("json", '"a"\n"b"\n{'): "Line 3 is not JSON",
        ("csv", "text"): "Add a row below it",
        ("csv", 'text\n"open'): "Line 2: the quote .* never closed",
        ("csv", 'text\n"a"b'): "Line 2: text follows a closing quote",
        ("lines", " \n"): "at least one document",
        ("json", ""): "at least one document",
    }
    for (kind, text), words in cases.items():
        await page.check(f"#format input[value={kind}]", force=True)
        await page.fill("#documents", text)
        assert re.search(words, await _error(page, "documents")), (text, words)
    await page.click("#rank")
    assert await cards(page) == [], "no old ranking stays beside an error"
    assert await page.evaluate("document.activeElement.id") == "documents"
    await fill(page, "x", ["a"])
    await expect(page.locator("#documents-error")).to_be_hidden()


async def test_query_that_is_missing(page: Page) -> None:
    """The field gets the focus."""
    await page.fill("#query", "  ")
    await page.click("#rank")
    assert await _error(page, "query") == "Write a query."
    assert await page.evaluate("document.activeElement.id") == "query"


async def test_files_that_cannot_be_read(page: Page) -> None:
    """The documents stay."""
    before = await page.input_value("#documents")
    await drop(page, "picture.png", b"\x89PNG\xff\xfe")
    await expect(page.locator("#documents-error")).to_have_text(re.compile("picture.png is not UTF-8 text"))
    assert await page.input_value("#documents") == before


async def test_file_that_is_dropped_beside_the_field_keeps_the_page(page: Page) -> None:
    """The browser would open it, and the input would be lost."""
    kept = """() => ["dragover", "drop"].every((kind) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["a"], "a.txt"));
        return !document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
    })"""
    assert await page.evaluate(kept)


async def test_documents_that_a_browser_changes(page: Page) -> None:
    """Their scores may differ from those of the same file elsewhere."""
    changed = ('[{"title": "A", "2024": "b"}]', '[{"id": 12345678901234567890, "x": "b"}]')
    for text, hint in (
        *((text, "A browser puts keys") for text in changed),
        ('[{"title": "A", "x": 1}]', "An array of"),
    ):
        await page.check("#format input[value=json]", force=True)
        await page.fill("#documents", text)
        await page.evaluate("document.querySelector('#column').value = '*'")
        await page.dispatch_event("#column", "change")
        await expect(page.locator("#format-hint")).to_contain_text(hint)


async def test_link_that_is_damaged(page: Page) -> None:
    """The page says so, until the input changes. An example can be chosen again after each edit."""
    await page.evaluate("location.hash = 'damaged'")
    await expect(page.locator("#notice")).to_contain_text("This link is cut, damaged or of another version")
    await page.fill("#query", "another")
    await expect(page.locator("#notice")).to_be_hidden()
    assert await page.input_value("#example") == ""


async def test_error_at_a_field_is_announced(page: Page) -> None:
    """By the status line; a field of the input gets the focus, too. Documents are counted from 1 here."""
    await fill(page, "x" * 100_001, ["a"])
    await page.click("#rank")
    await expect(page.locator("#status")).to_contain_text("Not ranked. query has 100,001 characters")
    assert await page.evaluate("document.activeElement.id") == "query"
    await page.check("#format input[value=json]", force=True)
    await page.fill("#documents", '["a", {"x": {"y": null}}, {"z": null}]')
    await page.fill("#query", "x")
    await page.click("#rank")
    await expect(page.locator("#status")).to_contain_text("documents[2] (document 3)")


async def test_errors_of_the_server_at_their_fields(page: Page) -> None:
    """The server names the field."""
    for field, value in {"top_n": "-1", "max_tokens_per_doc": "-5"}.items():
        await page.evaluate("document.querySelector('details').open = false")
        await page.locator(f"#{field}-A").evaluate("(field, value) => (field.value = value)", value)
        await page.locator(f"#{field}-A").dispatch_event("change", {"bubbles": True})
        assert field in await _error(page, f"{field}-A")
        await page.locator(f"#{field}-A").evaluate("field => (field.value = '')")
        await page.locator(f"#{field}-A").dispatch_event("change", {"bubbles": True})
        await expect(page.locator(f"#{field}-A-error")).to_be_hidden()
        await ended(page)
    await fill(page, "x", ["a", {}])
    assert "documents[1]" in await _error(page, "documents")
    await page.fill("#documents", '["a"]')
    await page.fill("#query", "x" * 100_001)
    await rank(page)
    assert "100,000" in await _error(page, "query")


async def test_settings_of_a_link_that_the_model_does_not_have(page: Page) -> None:
    """An unknown model, and an instruction for a model without a place for it."""
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "model": ({"model": "nope"}, "starter"),
        "instruction": ({"model": "", "instruction": "Find movies"}, "instruction"),
    }
    for field, (changes, words) in cases.items():
        await page.evaluate(LINK, changes)
        await expect(page.locator(f"#{field}-A-error")).to_have_text(re.compile(words))
        await _error(page, f"{field}-A")
        await ended(page)


async def test_key_is_asked_for_and_rejected_at_its_field(browser: Browser, two_models: Running) -> None:
    """The page opens without a key. After the right one, it lists the models and ranks."""
    async with playground(two_models, keys=Keys(["sesame"])) as edges, opened_page(browser) as page:
        await page.goto(url(edges))
        assert await _error(page, "key") == "This server needs an API key. Type it here."
        assert await page.evaluate("document.activeElement.id") == "key"
        await page.fill("#key", "wrong")
        await page.press("#key", "Enter")
        assert "key" in (await _error(page, "key")).lower()
        await page.fill("#key", "sesam€")
        await page.press("#key", "Enter")
        await expect(page.locator("#key-error")).to_have_text(re.compile("no header can carry"))
        await page.fill("#key", "sesame")
        await page.press("#key", "Enter")
        await page.wait_for_selector(".card")
        await expect(page.locator("#model-A option")).to_have_count(2)
        await expect(page.locator("#key-error")).to_be_hidden()


def _keys(**limits: Any) -> Keys:
    caller = Caller("search", models=frozenset({"small"}))
    return Keys(known=[KnownKey(digest("sesame"), caller, KeyLimits(**limits))])


async def test_key_for_one_model(browser: Browser, two_models: Running) -> None:
    """The page uses the model that the key may use. Another one, as a link may have it, is an error at the model."""
    async with playground(two_models, keys=_keys()) as edges, opened_page(browser) as page:
        await page.goto(url(edges))
        await page.fill("#key", "sesame")
        await page.press("#key", "Enter")
        await page.wait_for_selector(".card")
        assert await page.locator("#model-A option").all_inner_texts() == ["small (default)"]
        await page.evaluate(LINK, {"model": "starter"})
        assert "small" in await _error(page, "model-A")


async def test_busy_server(browser: Browser, two_models: Running) -> None:
    """The page says when to try again."""
    async with playground(two_models, keys=_keys(requests_per_second=0.001)) as edges, opened_page(browser) as page:
        await page.goto(url(edges))
        await page.fill("#key", "sesame")
        await page.press("#key", "Enter")
        await page.wait_for_selector(".card")
        await rank(page)
        banner = page.locator(".banner[role=alert]")
        await expect(banner).to_contain_text("The server is busy")
        assert re.search(r"A retry makes sense in \d+ s\.", await banner.inner_text())
        assert await banner.get_by_role("button", name="Try again").is_visible()


async def test_server_that_is_gone(browser: Browser, small_model: Bundle) -> None:
    """The page stays, and says what to do."""
    async with running(small_model) as core, opened_page(browser) as page:
        async with playground(core) as edges:
            await page.goto(url(edges))
            await page.wait_for_selector(".card")
        await page.click("#rank")
        await expect(page.locator(".banner")).to_contain_text("The server cannot be reached")
        assert "e-bike" in await page.input_value("#query")

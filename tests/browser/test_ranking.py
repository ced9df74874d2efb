"""The playground in Chromium: rank the example, files and settings, and compare."""

import json
import re
from functools import partial

from playwright.async_api import Browser, Page, Route, expect

from rerank_service.models.bundle import Bundle
from support.browser import cards, code, drop, ended, fill, opened_page, playground, rank, url
from support.running import Served, running


async def test_example_ranks_at_once(page: Page, site: Served) -> None:
    """With scores whose type is named, moves, the best window, tokens and times."""
    response = json.loads(await code(page, "Response"))
    request = json.loads(await code(page, "Request"))
    assert request["query"] in await page.input_value("#query")
    assert await cards(page) == [result["index"] for result in response["results"]]
    assert len(response["results"]) == len(request["documents"]) >= 5
    moves = await page.locator(".move [aria-hidden]").all_inner_texts()
    ups = [result["index"] - rank for rank, result in enumerate(response["results"])]
    assert moves == [f"▲{up}" if up > 0 else f"▼{-up}" if up < 0 else "=" for up in ups]
    scores = await page.locator(".score").all_inner_texts()
    assert scores == [
        f"{result['relevance_score']:.3f} {response['meta']['score_type']}" for result in response["results"]
    ]
    facts = dict(
        zip(await page.locator("dt").all_inner_texts(), await page.locator("dd").all_inner_texts(), strict=True)
    )
    assert facts["tokens"].replace(",", "") == str(response["usage"]["prompt_tokens"])
    assert facts["model"] == response["model"]
    for name in ("server", "queue", "tokenize", "inference"):
        assert re.fullmatch(r"[\d.]+ m?s", facts[name])
    assert "best of 6" in await page.inner_text("#status")


async def test_best_window_is_marked_in_code_points(page: Page) -> None:
    """Emoji before the window have two UTF-16 units each, and one code point."""
    documents = [
        "😀" * 40 + " " + "The harbour was built by monks. " * 120 + "Paris is the capital of France. " * 3,
        "Rome.",
    ]
    await fill(page, "What is the capital of France?", documents)
    response = json.loads(await code(page, "Response"))
    long = next(result for result in response["results"] if result["index"] == 0)
    card = page.locator(".card[data-index='0']")
    assert f"{long['windows']} windows" in await card.inner_text()
    await card.get_by_role("button", name="Show all").click()
    span = long["best_window"]
    assert "".join(await card.locator("mark.window").all_text_contents()) == documents[0][span["start"] : span["end"]]
    assert await card.locator(".passage").text_content() == documents[0]
    await card.get_by_role("button", name="Show less").click()
    assert "…" in await card.inner_text()


async def test_truncated_document_is_marked(page: Page) -> None:
    """After a limit of tokens."""
    await page.click("summary")
    await page.fill("#max_tokens_per_doc-A", "4")
    await fill(page, "capital", ["Paris is the capital of France and its largest city.", "Rome"])
    assert "truncated" in await page.inner_text(".card[data-index='0']")
    assert json.loads(await code(page, "Request"))["max_tokens_per_doc"] == 4


CSV = '﻿id,"content",note\r\n1,"Rome, in Italy.",a\r\n2,"Paris is ""the"" capital\nof France.",b\r\n3,Pizza,c\r\n'


async def test_dropped_csv_ranks(page: Page) -> None:
    """By the column with a known name; another one can be chosen. Quotes, separators and line ends are kept."""
    await page.fill("#query", "What is the capital of France?")
    await drop(page, "places.csv", CSV.encode())
    await expect(page.locator(".card")).to_have_count(3)
    await ended(page)
    request = json.loads(await code(page, "Request"))
    assert request["documents"] == ["Rome, in Italy.", 'Paris is "the" capital\nof France.', "Pizza"]
    assert await page.input_value("#column") == "content"
    await page.select_option("#column", "note")
    await rank(page)
    assert json.loads(await code(page, "Request"))["documents"] == ["a", "b", "c"]
    await page.select_option("#column", "*")
    await rank(page)
    assert json.loads(await code(page, "Request"))["documents"][2] == {"id": "3", "content": "Pizza", "note": "c"}
    assert "content: Pizza" in await page.inner_text(".card[data-index='2']")


FILES = {
    "a.jsonl": b'{"text": "Rome", "n": 1}\n{"text": "Paris", "n": 2}\n',
    "a.txt": b"Rome\r\n\r\nParis\r\n",
    "a.tsv": b"title\ttext\nx\tRome\ny\tParis\n",
    "a.json": b'{"query": "x", "documents": ["Rome", "Paris"]}',
    "semicolons.csv": b"title;text\nx;Rome\ny;Paris\n",
}


async def test_chosen_file_ranks(page: Page) -> None:
    """The name of a file shows its format."""
    for name, content in FILES.items():
        await page.fill("#documents", "[")
        await page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": content})
        await expect(page.locator("#count")).to_have_text("2 documents")
        await ended(page)
        assert json.loads(await code(page, "Request"))["documents"] == ["Rome", "Paris"], name
        await expect(page.locator(".card")).to_have_count(2)


async def test_settings_change_the_ranking(page: Page) -> None:
    """At once: number of results, score type and the slider of the minimum."""
    await page.fill("#top_n-A", "2")
    await page.press("#top_n-A", "Enter")
    await expect(page.locator(".card")).to_have_count(2)
    assert "2 of 6" in await page.inner_text(".facts")
    await page.select_option("#score_type-A", "raw")
    await expect(page.locator(".score").first).to_contain_text("logit")
    assert await page.locator(".score strong").first.inner_text() == "+{:.2f}".format(
        json.loads(await code(page, "Response"))["results"][0]["relevance_score"]
    )
    await page.check("#min_on-A")
    await page.fill("#min_score-A", "12")
    await page.wait_for_selector(".empty")
    assert json.loads(await code(page, "Request"))["min_score"] == 12
    assert "Lower it" in await page.inner_text(".empty")


async def test_two_columns_and_the_light_in_both(page: Page) -> None:
    """Two models side by side. Pointer or focus on a document lights it in both."""
    await fill(page, "1", ["2 3", "9", "1"])
    await page.check("#view input[value=two]", force=True)
    await page.select_option("#model-B", "small")
    await expect(page.locator("dd").filter(has_text=re.compile("^small$"))).to_have_count(1)
    await ended(page)
    assert await cards(page, ".column:nth-child(2)") == [1, 0, 2]
    assert sorted(await cards(page, ".column:nth-child(1)")) == [0, 1, 2]
    await page.hover(".column:nth-child(2) .card >> nth=0")
    lit = "cards => cards.map(card => card.dataset.index)"
    assert await page.eval_on_selector_all(".card.lit", lit) == ["1", "1"]
    await page.locator(".column:nth-child(1) .card").first.focus()
    assert len(await page.eval_on_selector_all(".card.lit", lit)) == 2
    await page.locator("#code input[value='1']").check(force=True)
    assert json.loads(await code(page, "Request"))["model"] == "small"


async def test_before_and_after(page: Page) -> None:
    """The order that was sent beside the ranking. A document that is not returned is marked."""
    await page.check("#view input[value=order]", force=True)
    await page.wait_for_selector("[data-beside]")
    await page.fill("#top_n-A", "5")
    await page.press("#top_n-A", "Enter")
    await page.wait_for_selector(".absent")
    assert await cards(page, ".list:nth-child(1)") == list(range(6))
    assert len(await cards(page, ".list:nth-child(2)")) == 5
    assert await page.inner_text(".absent .place") == "not returned"
    best = page.locator(".list:nth-child(2) .card").first
    index = await best.get_attribute("data-index")
    assert await page.inner_text(f".list:nth-child(1) .card[data-index='{index}'] .place") == "now 1"


async def test_link_keeps_everything(page: Page, browser: Browser, site: Served) -> None:
    """The fragment has query, documents, view and settings. Another tab ranks the same."""
    await page.check("#view input[value=two]", force=True)
    await page.fill("#top_n-B", "1")
    await fill(page, "Größe 😀 & 100 %?", ["ä", "b\n<c>", {"text": "d", "n": 1}])
    ranking = await cards(page)
    async with opened_page(browser) as other:
        await other.goto(page.url)
        await other.wait_for_selector(".column:nth-child(2) .card")
        await ended(other)
        assert await other.input_value("#query") == "Größe 😀 & 100 %?"
        assert await cards(other) == ranking
        assert await other.input_value("#top_n-B") == "1"
        await other.goto(url(site, "/#nonsense"))  # the same page: only the fragment changes
        assert await other.input_value("#query") == "Größe 😀 & 100 %?"
        await other.reload()
        await other.wait_for_selector(".card")
        assert "e-bike" in await other.input_value("#query"), "another fragment shows the example"


async def test_examples_can_be_chosen(page: Page) -> None:
    """Each of them ranks."""
    for at, count in ((1, 5), (2, 4), (0, 6)):
        await page.select_option("#example", str(at))
        await expect(page.locator(".card")).to_have_count(count)


async def test_cancel_ends_the_request(browser: Browser, small_model: Bundle) -> None:
    """By the button and by Escape. The server drops its pairs, and the page says so."""
    async with running(small_model) as core, playground(core) as edges, opened_page(browser) as page:
        await page.goto(url(edges))
        await page.wait_for_selector(".card")
        for cancel in (page.locator("#cancel").click, partial(page.keyboard.press, "Escape")):
            core.score.hold()
            await page.click("#rank")
            await page.wait_for_selector("#cancel:not([hidden])")
            await cancel()
            await page.wait_for_selector("#cancel", state="hidden")
            assert await page.inner_text("#status") == "Cancelled. Nothing was ranked."
            assert await page.evaluate("document.activeElement.id") == "rank"
            core.score.release()
            while not core.idle():
                await page.evaluate("0")
        await rank(page)
        assert "best of 6" in await page.inner_text("#status")


async def test_edit_marks_the_ranking_as_old(page: Page) -> None:
    """The mark goes with the next ranking."""
    await page.type("#query", "x")
    assert await page.locator("[data-stale]").count() == 1
    await page.press("#query", "Enter")
    await ended(page)
    assert await page.locator("[data-stale]").count() == 0


async def test_answer_to_an_input_that_was_edited_meanwhile_is_old(page: Page) -> None:
    """The ranking is that of the text before the edit."""
    answers: list[Route] = []

    async def hold(route: Route) -> None:
        answers.append(route)

    await page.route("**/v1/rerank", hold)
    await page.press("#query", "Enter")
    while not answers:
        await page.evaluate("0")
    await page.type("#query", "x")
    await answers[0].continue_()
    await ended(page)
    assert await page.locator("[data-stale]").count() == 1


async def test_setting_that_is_being_edited_is_sent(page: Page) -> None:
    """Ctrl+Enter ranks before the browser reports a change of the field."""
    async with page.expect_request("**/v1/rerank") as sent:
        await page.type("#top_n-A", "2")
        await page.press("#top_n-A", "Control+Enter")
    assert (await sent.value).post_data_json["top_n"] == 2


async def test_many_documents_are_shown_in_parts(page: Page) -> None:
    """A page with thousands of cards would be slow."""
    await page.check("#format input[value=lines]", force=True)
    await page.fill("#documents", "\n".join(f"text {number}" for number in range(230)))
    await rank(page)
    assert len(await cards(page)) == 100
    await page.click("button:has-text('Show 100 more of 130')")
    assert await page.evaluate("document.activeElement.matches('.card:nth-child(101)')"), "the keyboard goes on there"
    await page.click("button:has-text('Show 30 more of 30')")
    assert sorted(await cards(page)) == list(range(230))


async def test_csv_with_thousands_of_columns(page: Page) -> None:
    """The page offers some of them, and the one that is ranked."""
    await page.check("#format input[value=csv]", force=True)
    names = ",".join(f"c{number}" for number in range(1000))
    await page.fill("#documents", f"{names},text\n{',' * 1000}Paris")
    await rank(page)
    assert await page.input_value("#column") == "text"
    assert await page.locator("#column option").count() < 300
    assert await cards(page) == [0]

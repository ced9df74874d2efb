"""The code that the playground offers: it is copied from the page, run, and must rank as the page did."""

import asyncio
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from playwright.async_api import Browser, Page

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.auth import Keys
from support.browser import cards, code, fill, opened_page, playground, rank, url
from support.running import Running, Served

NASTY = 'it\'s "quoted" $HOME `id` \\n \\ \t %s {x} 100% !! 😀 \u2028 \u202e\x9b é\nJSON\n\'\'\'\n"""\nend'
TEXTS = [NASTY, "Paris is the capital of France.", "", "Rome's in Italy.\r\n", "\x7f\x01 <b>"]
OBJECTS = [{"title": "It's", "n": 1, "ok": True, "no": None}, {"title": "Paris"}, "plain"]


async def _run(*command: str, **environment: str) -> str:
    """Run a command, and return its output. The server runs on the loop of the test."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment or None
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


Ranking = list[tuple[int, float]]


def _printed(output: str) -> Ranking:
    """Return the ranking that a script printed."""
    return [(int(index), float(score)) for index, score in map(str.split, output.splitlines())]


def _results(response: Any) -> Ranking:
    return [(result["index"], result["relevance_score"]) for result in response["results"]]


def _same(one: Ranking, other: Ranking) -> bool:
    """Return whether two rankings are the same. Scores differ by rounding between batches."""
    indexes, scores = ([each[part] for each in one] for part in (0, 1))
    return indexes == [index for index, _ in other] and scores == pytest.approx([score for _, score in other], abs=1e-5)


_KEEP_COPIED = """button => {
  window.copied = new Promise(resolve => {
    const look = () => button.textContent === "Copied" && resolve();
    new MutationObserver(look).observe(button, {childList: true, characterData: true, subtree: true});
  });
}"""
"""A promise that the button shows Copied: it does so for 1.5 s, in which a busy machine may not look."""


async def _copied(page: Page, tab: str, grpc: str = "") -> str:
    """Copy a form of the call by the button. Return the content of the clipboard."""
    await code(page, tab)
    if grpc:
        await page.fill("#grpc-address", grpc)
    button = page.locator("#code button:text-is('Copy')")
    await button.evaluate(_KEEP_COPIED)
    await button.click()
    await page.evaluate("copied")
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def _check_all(page: Page, edges: Served, folder: Path, *, key: str = "") -> None:
    """Run the code of all forms."""
    expected = _results(json.loads(await code(page, "Response")))
    environment = {"PATH": "/usr/bin:/bin", "RERANK_API_KEY": key}
    scripts = {}
    for at, tab in enumerate(("RerankClient", "Python stub", "Cohere SDK")):
        scripts[tab] = folder / f"{at}.py"
        scripts[tab].write_text(await _copied(page, tab, "" if tab == "Cohere SDK" else edges.address))
    output, *printed = await asyncio.gather(
        _run("bash", "-c", await _copied(page, "curl"), **environment),
        *(_run(sys.executable, str(script), **environment) for script in scripts.values()),
    )
    assert _same(_results(json.loads(output)), expected)
    for tab, lines in zip(scripts, printed, strict=True):
        assert _same(_printed(lines), expected), tab


async def _set(page: Page) -> None:
    """Change settings that each form writes in another way."""
    await page.click("summary")
    for field, value in {"#top_n-A": "3", "#max_tokens_per_doc-A": "20"}.items():
        await page.fill(field, value)
    await page.select_option("#score_type-A", "raw")
    await page.check("#min_on-A")
    await page.fill("#min_score-A", "-11.5")
    await rank(page)


CLIPBOARD: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}


@pytest.mark.parametrize("documents", [TEXTS, OBJECTS], ids=["texts", "objects"])
async def test_copied_code_ranks_as_the_page_did(
    browser: Browser, site: Served, tmp_path: Path, documents: Sequence[Any]
) -> None:
    """Whatever quotes, line ends and scripts the texts have. `cohere` sends objects too."""
    async with opened_page(browser, **CLIPBOARD) as page:
        await page.goto(url(site))
        await fill(page, f"capital of France? {NASTY}", documents)
        assert await cards(page)
        await _set(page)
        await _check_all(page, site, tmp_path)
        message = shlex.split(await code(page, "grpcurl"))
        parsed = json_format.Parse(message[message.index("-d") + 1], pb.RerankRequest())
        assert (parsed.query, parsed.top_n, parsed.score_type) == (
            f"capital of France? {NASTY}".replace("\r\n", "\n"),
            3,
            pb.SCORE_TYPE_RAW,
        )
        sent = [
            json.loads(each.json) if each.WhichOneof("content") == "json" else each.text for each in parsed.documents
        ]
        assert sent == documents
        assert message[-2:] == [site.address, "rerank.v1.Rerank/Rerank"]


async def test_copied_code_reads_the_key_from_the_environment(
    browser: Browser, two_models: Running, tmp_path: Path
) -> None:
    """The text has no key, and works with one."""
    async with (
        playground(two_models, keys=Keys(["sesame"])) as edges,
        opened_page(browser, **CLIPBOARD) as page,
    ):
        await page.goto(url(edges))
        await page.fill("#key", "sesame")
        await page.press("#key", "Enter")
        await page.wait_for_selector(".card")
        await fill(page, "capital", ["Rome", "Paris"])
        await _check_all(page, edges, tmp_path, key="sesame")


async def test_long_call_comes_by_standard_input(browser: Browser, site: Served, tmp_path: Path) -> None:
    """Linux accepts 128 KiB in one argument. The page shows the beginning, and the button copies all."""
    async with opened_page(browser, **CLIPBOARD) as page:
        await page.goto(url(site))
        await page.click("summary")
        await page.fill("#max_tokens_per_doc-A", "8")
        await fill(page, "capital", ["it's " * 30_000, "JSON"])
        copied = await _copied(page, "curl")
        assert len(copied) > 150_000 > len(await code(page, "curl"))
        script = tmp_path / "call.sh"
        script.write_text(copied)
        response = json.loads(await _run("bash", str(script), PATH="/usr/bin:/bin"))
        assert sorted(result["index"] for result in response["results"]) == [0, 1]
        await fill(page, "capital", ["日本" * 20_000])
        for tab in ("curl", "grpcurl"):
            assert "<<'JSON'" in await _copied(page, tab), "the limit counts bytes"

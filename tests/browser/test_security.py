"""Safety of the playground: the policy holds, texts stay texts, and the key stays in the tab."""

from playwright.async_api import Browser, Page
from starlette.types import ASGIApp, Receive, Scope, Send

from rerank_service.api.auth import Keys
from rerank_service.api.http.app import build_app
from rerank_service.api.http.playground.routes import Playground
from rerank_service.api.http.server import listening
from support.browser import cards, code, ended, fill, opened_page, playground, rank, url
from support.limits import rest_options
from support.running import Running, Served

EVIL = [
    "<script>window.evil = 1</script>",
    "<img src=x onerror='window.evil = 1'>",
    "</textarea><svg onload=window.evil=1>",
    "{{constructor.constructor('window.evil = 1')()}}",
    "javascript:window.evil=1",
]


async def test_html_in_texts_stays_text(page: Page) -> None:
    """In query, documents, names of fields, and after a reload with all of it in the fragment."""
    await page.check("#view input[value=order]", force=True)
    await fill(page, EVIL[0], [*EVIL, {EVIL[1]: EVIL[0], "b": EVIL[1]}])
    for _ in range(2):
        shown = "".join(await page.locator(".passage").all_text_contents())
        assert all(text in shown for text in EVIL)
        assert await page.locator("main script, main img, main svg").count() == 0
        assert EVIL[0] in await code(page, "Request")
        assert EVIL[1] in "".join(await page.locator("#column option").all_text_contents())
        assert await page.evaluate("window.evil") is None
        await page.reload()
        await page.wait_for_selector(".card")
        await ended(page)


async def test_policy_stops_scripts_styles_and_html(browser: Browser, site: Served) -> None:
    """Injected code does not run, and the browser reports it."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.add_init_script(
        "window.violations = [];"
        "document.addEventListener('securitypolicyviolation', (event) => violations.push(event.effectiveDirective));"
    )
    await page.goto(url(site))
    await page.wait_for_selector(".card")
    assert await page.evaluate("violations") == [], "the page itself keeps the policy"
    await page.evaluate(
        """async () => {
          const add = (tag, values) => document.body.append(Object.assign(document.createElement(tag), values));
          const attempts = [
            () => add("script", {textContent: "window.evil = 1"}),
            () => add("style", {textContent: "body { color: red }"}),
            () => add("img", {src: "http://127.0.0.1:9/x.png"}),
            () => add("iframe", {src: "http://127.0.0.1:9/"}),
            () => (document.body.innerHTML = "<b>x</b>"),
            () => fetch("http://127.0.0.1:9/").catch(() => 0),
            () => add("base", {href: "http://127.0.0.1:9/"}),
          ];
          for (const attempt of attempts) {
            try {
              await attempt();
            } catch {}
          }
          await new Promise((resolve) => setTimeout(resolve, 0));
        }"""
    )
    assert await page.evaluate("window.evil") is None
    reported = set(await page.evaluate("violations"))
    assert reported >= {
        "style-src-elem",
        "img-src",
        "frame-src",
        "connect-src",
        "base-uri",
        "require-trusted-types-for",
    }
    assert await page.evaluate("document.baseURI") == page.url
    await context.close()


async def test_key_stays_in_the_tab(browser: Browser, two_models: Running) -> None:
    """It is in no link, no copied code and no storage that another tab or a later visit reads."""
    async with playground(two_models, keys=Keys(["sesame"])) as edges, opened_page(browser) as page:
        await page.goto(url(edges))
        await page.fill("#key", "sesame")
        await page.press("#key", "Enter")
        await page.wait_for_selector(".card")
        await ended(page)
        link = page.url
        assert "sesame" not in await page.evaluate(
            "atob(location.hash.slice(1).replaceAll('-', '+').replaceAll('_', '/'))"
        )
        for tab in ("curl", "RerankClient", "Python stub", "Cohere SDK", "grpcurl", "Request", "Response"):
            text = await code(page, tab)
            assert "sesame" not in text
            assert ("RERANK_API_KEY" in text) == (tab not in ("Request", "Response"))
        assert await page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        await page.reload()
        await page.wait_for_selector(".card")
        assert await page.input_value("#key") == "sesame", "a reload of the tab keeps it"
        other = await page.context.new_page()
        await other.goto(link)
        await other.wait_for_selector("#key-error:not([hidden])")
        assert await other.input_value("#key") == ""
        assert await cards(other) == []


class _Prefixed:
    """A proxy that serves the application below a prefix."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"].startswith(self._prefix), f"a request beside the prefix: {scope['path']}"
        path = scope["path"].removeprefix(self._prefix) or "/"
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send)


async def test_page_works_below_a_prefix(browser: Browser, two_models: Running) -> None:
    """Files, calls and copied code have the prefix of the proxy."""
    async with playground(two_models) as edges:
        app = _Prefixed(build_app(edges.routes, playground=Playground(grpc_port=0)), "/search/rerank")
        async with listening(app, rest_options()) as edge, opened_page(browser) as page:
            await page.goto(f"{edge.urls[0]}/search/rerank/")
            await page.wait_for_selector(".card")
            await rank(page)
            assert await cards(page)
            assert f"{edge.urls[0]}/search/rerank/v1/rerank" in await code(page, "curl")
            assert f'base_url="{edge.urls[0]}/search/rerank"' in await code(page, "Cohere SDK")

"""The playground over a real port: page, files, headers and lines in the log. tests/browser opens it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import rerank_service
from rerank_service.api.auth import Keys
from rerank_service.api.http.playground import routes
from rerank_service.api.http.playground.routes import HEADERS, Playground
from rerank_service.api.request_observation import Observing
from rerank_service.settings import Settings
from support.http import post
from support.observed import Recorder
from support.running import Running, Served, served

STATIC = Path(routes.__file__).parent / "static"
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())


@pytest.fixture
async def edges(core: Running) -> AsyncIterator[Served]:
    """Yield a server with the page and with keys."""
    async with served(core, keys=Keys(["sesame"]), playground=Playground(grpc_port=7000)) as parts:
        yield parts


async def test_page_needs_no_key_and_knows_the_server(edges: Served) -> None:
    """Its requests need the key. `POST /` stays TEI's path."""
    page = await edges.http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f'data-version="{rerank_service.__version__}" data-grpc-port="7000"' in page.text
    assert "{" not in page.text
    body = {"query": "0", "texts": ["1"]}
    assert (await post(edges, body, "/")).status_code == 401
    assert (await post(edges, body, "/", authorization="Bearer sesame")).status_code == 200


async def test_port_that_the_system_chooses_is_shown_as_the_default(core: Running) -> None:
    """The page is built before the port is known. People can change the address on the page."""
    async with served(core, playground=Playground(grpc_port=0)) as edges:
        assert 'data-grpc-port="50051"' in (await edges.http.get("/")).text


async def test_each_file_is_served_with_strict_headers(edges: Served) -> None:
    """No key is required, and no browser may take a file for another type."""
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    assert {Path(name).suffix for name in FILES} == {*kinds, ".html"}
    for name in FILES:
        if name == "index.html":
            continue
        response = await edges.http.get(f"/playground/{name}")
        assert response.content == (STATIC / name).read_bytes()
        assert response.headers["content-type"] == f"{kinds[Path(name).suffix]}; charset=utf-8"
        assert dict(response.headers).items() >= HEADERS.items()


async def test_policy_allows_files_of_the_server_only(edges: Served) -> None:
    """Neither inline scripts and styles, nor other hosts, frames, forms and HTML made from text."""
    policy = (await edges.http.get("/")).headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


@pytest.mark.parametrize("name", FILES)
def test_files_name_no_other_host(name: str) -> None:
    """The page works without the internet. All its URLs are relative, for proxies with a prefix."""
    text = (STATIC / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://[\w.]+", text)
    assert not re.findall(r"""(?:src|href)=["']/|fetch\(["']/""", text)
    assert not re.findall(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_files_are_small(name: str) -> None:
    """One concern per file, as in Python (tests/project/test_shape.py)."""
    assert len((STATIC / name).read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", ["/", "/playground/main.js", "/playground/snippets/curl.js"])
async def test_browser_asks_again_and_gets_304(edges: Served, path: str) -> None:
    """So that the files of two versions are never mixed, and an unchanged file is not sent."""
    first = await edges.http.get(path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await edges.http.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert (await edges.http.get(path, headers={"if-none-match": '"other"'})).content == first.content
    assert first.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/playground/main.js"])
async def test_head_and_options(edges: Served, path: str) -> None:
    """HEAD has the headers of GET. OPTIONS names the methods."""
    get, head = await edges.http.get(path), await edges.http.head(path)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", get.headers["etag"])
    options = await edges.http.options(path)
    methods = "GET, HEAD, OPTIONS, POST" if path == "/" else "GET, HEAD, OPTIONS"
    assert (options.status_code, options.headers["allow"]) == (204, methods)


async def test_no_other_file_is_served(edges: Served) -> None:
    """No request reaches the file system. The error has the form of all errors."""
    for path in (
        "/playground/index.html",
        "/playground/nothing.js",
        "/playground/%2e%2e/routes.py",
        "/playground/..%2froutes.py",
        "/playground/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/playground/%2fetc%2fpasswd",
        "/playground/snippets",
        "/playground/main.js%00",
    ):
        url = httpx.URL(str(edges.http.base_url)).copy_with(raw_path=path.encode())
        response = await edges.http.get(url)
        assert (path, response.status_code) == (path, 404)
        assert response.json().keys() == {"message", "detail", "error"}


async def test_path_that_people_type_leads_to_the_page(edges: Served) -> None:
    """With a slash at the end and without."""
    for path, location in (("/playground", "./"), ("/playground/", "../")):
        response = await edges.http.get(path)
        assert (response.status_code, response.headers["location"]) == (307, location)


async def test_without_the_page_the_root_redirects(core: Running) -> None:
    """With --no-playground."""
    assert Settings.model_construct().playground
    assert not Settings(_cli_parse_args=["--no-playground"]).playground
    async with served(core) as edges:
        response = await edges.http.get("/")
        assert (response.status_code, response.headers["location"]) == (307, "./docs")
        assert (await edges.http.get("/playground/main.js")).status_code == 404


async def test_page_is_one_request_in_log_and_metrics(core: Running) -> None:
    """Its files are none, unless a file is missing. A page load is not a ranking."""
    recorder = Recorder()
    async with served(core, playground=Playground(grpc_port=1), observing=Observing(recorder)) as edges:
        await edges.http.get("/")
        record = await recorder.next()
        assert (record.route, record.status, record.is_ranking, record.ranked) == ("/", 200, False, False)
        await edges.http.get("/playground/main.js")
        await edges.http.get("/playground/main.js", headers={"if-none-match": "*"})
        await edges.http.get("/playground/nothing.js")
        record = await recorder.next()
        assert (record.call, record.status) == ("/playground/nothing.js", 404)
        assert recorder.empty


async def test_models_say_whether_they_take_an_instruction(edges: Served) -> None:
    """The page shows the field only for models that do."""
    models = (await edges.http.get("/v1/models", headers={"x-api-key": "sesame"})).json()["data"]
    assert [model["takes_instruction"] for model in models] == [False]

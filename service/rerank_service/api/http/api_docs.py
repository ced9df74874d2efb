"""The page /docs: Swagger UI of the OpenAPI page. Its files are those of the package fastapi-offline, so that a browser
asks no other host. All URLs of the page are relative, so it works behind a proxy that removes a prefix of the path."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from rerank_service.api.http.fixed_files import FixedFiles
from rerank_service.api.http.openapi import TITLE

DOCS = "/docs"
OPENAPI = "/openapi.json"
_OAUTH2 = "/docs/oauth2-redirect"
_FILES = "/static-offline-docs"
SENT_PATH = "rerank.sent_path"
"""Key of a scope: the path as the client has sent it. A path of a page with a slash at its end is a folder in URLs."""
_SCRIPT, _STYLE, _ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"


def docs_routes() -> list[BaseRoute]:
    """Return the routes of the page and of its files."""
    files = FixedFiles({name: (_folder() / name).read_bytes() for name in (_SCRIPT, _STYLE, _ICON)}, {})
    return [Route(DOCS, _page), Route(_OAUTH2, _redirect), Route(f"{_FILES}/{{name:path}}", files.file)]


async def _page(request: Request) -> Response:
    """Return the page. In a thread, because of an import that takes half a second."""
    return await asyncio.to_thread(_swagger_ui, relative("", request))


async def _redirect(_request: Request) -> Response:
    """Return the page to which a proxy with OAuth sends the browser back."""
    return await asyncio.to_thread(_oauth2_redirect)


def relative(path: str, request: Request) -> str:
    """Return the URL of a path such as `/docs`, relative to the page of a request, whose path has at most one name."""
    sent = request.scope.get(SENT_PATH, request.scope["path"])
    slashes = len(sent) - len(sent.rstrip("/"))
    up = slashes if sent.strip("/") else slashes - 1
    return ("../" * up or "./") + path.lstrip("/")


def _swagger_ui(root: str) -> Response:
    """Return the page. `root` is the relative URL of the root of the server."""
    from fastapi.openapi.docs import get_swagger_ui_html  # few servers are asked for the page

    return get_swagger_ui_html(
        openapi_url=f"{root}{OPENAPI[1:]}",
        title=f"{TITLE} - Swagger UI",
        swagger_js_url=f"{root}{_FILES[1:]}/{_SCRIPT}",
        swagger_css_url=f"{root}{_FILES[1:]}/{_STYLE}",
        swagger_favicon_url=f"{root}{_FILES[1:]}/{_ICON}",
        oauth2_redirect_url=None,  # keys are in headers
    )


def _oauth2_redirect() -> Response:
    from fastapi.openapi.docs import get_swagger_ui_oauth2_redirect_html

    return get_swagger_ui_oauth2_redirect_html()


def _folder() -> Path:
    """Return the folder with the files of Swagger UI, without an import of the package."""
    package = find_spec("fastapi_offline")
    assert package is not None, "it is a requirement of the server"
    return Path(str(package.origin)).parent / "static"

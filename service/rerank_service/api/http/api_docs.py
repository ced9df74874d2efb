"""The page /docs: Swagger UI of the OpenAPI page. Its files are those of the package fastapi-offline, so that a browser
asks no other host."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from rerank_service.api.http.fixed_files import FixedFiles
from rerank_service.api.http.openapi import TITLE

DOCS = "/docs"
_OAUTH2 = "/docs/oauth2-redirect"
OPENAPI = "/openapi.json"
_FILES = "/static-offline-docs"
_SCRIPT, _STYLE, _ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"


def docs_routes() -> list[BaseRoute]:
    """Return the routes of the page and of its files."""
    files = FixedFiles({name: (_folder() / name).read_bytes() for name in (_SCRIPT, _STYLE, _ICON)}, {})
    return [Route(DOCS, _page), Route(_OAUTH2, _redirect), Route(f"{_FILES}/{{name:path}}", files.file)]


async def _page(request: Request) -> Response:
    """Return the page. In a thread, because of an import that takes half a second."""
    return await asyncio.to_thread(_swagger_ui, request.scope.get("root_path", ""))


async def _redirect(_request: Request) -> Response:
    """Return the page to which a proxy with OAuth sends the browser back."""
    return await asyncio.to_thread(_oauth2_redirect)


def _swagger_ui(root: str) -> Response:
    """Return the page for an application under the path `root`."""
    from fastapi.openapi.docs import get_swagger_ui_html  # few servers are asked for the page

    return get_swagger_ui_html(
        openapi_url=f"{root}{OPENAPI}",
        title=f"{TITLE} - Swagger UI",
        swagger_js_url=f"{root}{_FILES}/{_SCRIPT}",
        swagger_css_url=f"{root}{_FILES}/{_STYLE}",
        swagger_favicon_url=f"{root}{_FILES}/{_ICON}",
        oauth2_redirect_url=_OAUTH2,
    )


def _oauth2_redirect() -> Response:
    from fastapi.openapi.docs import get_swagger_ui_oauth2_redirect_html

    return get_swagger_ui_oauth2_redirect_html()


def _folder() -> Path:
    """Return the folder with the files of Swagger UI, without an import of the package."""
    package = find_spec("fastapi_offline")
    assert package is not None, "it is a requirement of the server"
    return Path(str(package.origin)).parent / "static"

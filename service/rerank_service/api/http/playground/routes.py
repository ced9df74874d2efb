"""Serve the playground: one page at /, and its scripts, style sheet and icon below /playground/.

All files are read once. A path is a key of a dictionary, so no request reaches the file system.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import rerank_service

FILES = "/playground/{name:path}"
"""Route of the files. They are not observed: a page load would hide the requests of callers."""
_STATIC = Path(__file__).parent / "static"
_PAGE = "index.html"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Types of the files. Those of the module mimetypes differ between machines: it reads files of the system."""
_POLICY = {
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
"""Content security policy: files of this server only, no inline script, and no text that becomes HTML."""
HEADERS: Mapping[str, str] = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # asks again for each load, so that the files of two versions are never mixed
    "cache-control": "no-cache",
}
"""Headers of the page and of its files."""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    headers: Mapping[str, str]

    def response(self, request: Request) -> Response:
        """Return the file, or 304 if the browser has it."""
        if _has(request.headers.get("if-none-match", ""), self.headers["etag"]):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=self.headers)
        return Response(self.content, headers=self.headers)


class Playground:
    """The page and its files."""

    def __init__(self, *, grpc_port: int) -> None:
        """Read all files. `grpc_port` is for examples of code. 0: it is not known, so they have the default."""
        paths = (path for path in _STATIC.rglob("*") if path.is_file())
        contents = {path.relative_to(_STATIC).as_posix(): path.read_bytes() for path in paths}
        facts = {b"{version}": rerank_service.__version__.encode(), b"{grpc_port}": str(grpc_port or 50051).encode()}
        page = contents.pop(_PAGE)
        for name, fact in facts.items():
            page = page.replace(name, fact)
        self._page = _file(_PAGE, page)
        self._files = {name: _file(name, content) for name, content in contents.items()}

    async def page(self, request: Request) -> Response:
        """Return the page."""
        return self._page.response(request)

    async def file(self, request: Request) -> Response:
        """Return a file of the page.

        Raises:
            HTTPException: there is no such file.
        """
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return file.response(request)


def _file(name: str, content: bytes) -> _File:
    kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
    headers = {
        **HEADERS,
        "content-type": f"{kind}; charset=utf-8",
        "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
    }
    return _File(content, headers)


def _has(if_none_match: str, etag: str) -> bool:
    """Return whether a browser has the version with this tag (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]

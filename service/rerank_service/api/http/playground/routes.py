"""Serve the playground: one page at /, and its scripts, style sheet and icon below /playground/.

All files are read once.
"""

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

import rerank_service
from rerank_service.api.http.fixed_files import FixedFile, FixedFiles

FILES = "/playground/{name:path}"
"""Route of the files. They are not observed: a page load would hide the requests of callers."""
_STATIC = Path(__file__).parent / "static"
_PAGE = "index.html"
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
        self._page = FixedFile.of(_PAGE, page, HEADERS)
        self._files = FixedFiles(contents, HEADERS)

    async def page(self, request: Request) -> Response:
        """Return the page."""
        return self._page.response(request)

    async def file(self, request: Request) -> Response:
        """Return a file of the page.

        Raises:
            HTTPException: there is no such file.
        """
        return await self._files.file(request)

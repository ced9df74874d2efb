"""Files that are read once and served unchanged.

A path is a key of a dictionary, so no request reaches the file system.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Self

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".png": "image/png",
}
"""Types of the files. Those of the module mimetypes differ between machines: it reads files of the system."""


@dataclass(frozen=True, slots=True)
class FixedFile:
    """A file in memory."""

    content: bytes
    headers: Mapping[str, str]

    @classmethod
    def of(cls, name: str, content: bytes, headers: Mapping[str, str]) -> Self:
        """Return a file with its type and its tag beside other headers."""
        kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(content, {**headers, "content-type": kind, "etag": tag})

    def response(self, request: Request) -> Response:
        """Return the file, or 304 if the browser has it."""
        if _has(request.headers.get("if-none-match", ""), self.headers["etag"]):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=self.headers)
        return Response(self.content, headers=self.headers)


class FixedFiles:
    """The files of a route with the parameter `name`."""

    def __init__(self, contents: Mapping[str, bytes], headers: Mapping[str, str]) -> None:
        self._files = {name: FixedFile.of(name, content, headers) for name, content in contents.items()}

    async def file(self, request: Request) -> Response:
        """Return a file.

        Raises:
            HTTPException: there is no such file.
        """
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return file.response(request)


def _has(if_none_match: str, etag: str) -> bool:
    """Return whether a browser has the version with this tag (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]

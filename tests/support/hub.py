"""Local Hugging Face hub with one model: the part of its API that huggingface_hub uses, so that real downloads run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "org/small"
GATED = "org/gated"
"""The same model, but its files need the token."""
TOKEN = "hf_accepted"


@dataclass
class Hub:
    """Behaviour of the hub, and the requests that it received."""

    folder: Path
    url: str = ""
    breaks: set[str] = field(default_factory=set)
    """Files whose connection breaks after half of the bytes; the rest is unavailable."""
    stalls: str = ""
    """File of which the second half is sent when `go_on` is set."""
    stalled: Event = field(default_factory=Event)
    go_on: Event = field(default_factory=Event)
    fails: bool = False
    """True to respond to every request with 503."""
    fetched: list[str] = field(default_factory=list)
    """Names of the sent files."""
    hosts: set[str] = field(default_factory=set)
    """Host headers of the requests; other hosts if the hub is used as a proxy."""

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that select this hub and hide those of the machine."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", "HF_TOKEN": ""}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        """Return the headers of a file."""
        self.do_GET()

    def do_GET(self) -> None:
        """Return a list of files, a file, or an error."""
        url = urlsplit(self.path)
        self.hub.hosts.add(self.headers["Host"])
        path = url.path.removeprefix("/api/models")
        model = next((name for name in (MODEL, GATED) if path.startswith(f"/{name}/")), None)
        token = self.headers.get("Authorization")
        if self.hub.fails:
            self._respond(503)
        elif token not in (None, f"Bearer {TOKEN}"):
            self._respond(401, message="Invalid credentials in Authorization header")
        elif model is None:
            self._respond(401, code="RepoNotFound")
        elif path != url.path:
            self._list(path.removeprefix(f"/{model}/revision/"), model)
        elif model == GATED and token is None:
            self._respond(401, code="GatedRepo")  # the list of files is public
        else:
            self._file(path.removeprefix(f"/{model}/"))

    def _list(self, revision: str, model: str) -> None:
        if revision not in (COMMIT, "main", "refs%2Fpr%2F1", "v1"):
            self._respond(404, code="RevisionNotFound")
            return
        files = [path for path in self.hub.folder.rglob("*") if path.is_file()]
        siblings = [{"rfilename": path.relative_to(self.hub.folder).as_posix()} for path in files]
        self._respond(200, json.dumps({"id": model, "sha": COMMIT, "siblings": siblings}).encode())

    def _file(self, path: str) -> None:
        """Send a file. Weights are redirected to their storage, as on the real hub."""
        name = path.removeprefix("stored/").removeprefix(f"resolve/{COMMIT}/")
        content = (self.hub.folder / name).read_bytes()
        if name.endswith((".safetensors", ".bin")) and not path.startswith("stored/"):
            location = urlsplit(self.path).path.replace(f"resolve/{COMMIT}/", "stored/")
            self._respond(302, content, linked=content, location=f"http://{self.headers['Host']}{location}")
            return
        if name in self.hub.breaks and self.headers["Range"]:
            self._respond(503)
            return
        if self.command == "GET":
            self.hub.fetched.append(name)
        self._respond(200, content, half=name in self.hub.breaks or name == self.hub.stalls)
        if self.command == "GET" and name == self.hub.stalls:
            self.hub.stalled.set()
            self.hub.go_on.wait()

    def _respond(
        self,
        status: int,
        content: bytes = b"",
        *,
        code: str = "",
        message: str = "",
        location: str = "",
        linked: bytes | None = None,
        half: bool = False,
    ) -> None:
        self.send_response(status)
        body = b"" if location else content
        tag = f'"{sha256(content).hexdigest()}"'
        headers = {
            "Content-Length": str(len(body)),
            "ETag": tag,
            "X-Repo-Commit": COMMIT,
            "X-Error-Code": code,
            "X-Error-Message": message,
            "Location": location,
        }
        if linked is not None:
            headers |= {"X-Linked-Size": str(len(linked)), "X-Linked-ETag": tag}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing: tests check the responses."""


@contextmanager
def hub_of(folder: Path) -> Iterator[Hub]:
    """Run a hub whose model has the files of a folder."""
    hub = Hub(folder)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            hub.go_on.set()
            server.shutdown()

"""Make the fixtures of a version, from a checkout of it: `python -m upgrade.recorder CHECKOUT OUT`.

fixtures/README.md has the steps.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool

from upgrade.recorder.client_calls import client_results
from upgrade.recorder.grpc_calls import grpc_responses
from upgrade.recorder.model import TEXTS, write_model
from upgrade.recorder.options import OPTIONS
from upgrade.recorder.rest_calls import KEY, rest_responses
from upgrade.recorder.surface import LINES, command_options, descriptors, rest_paths, settings

_CLIENT = ("client.py", "v1/rerank_pb2.py", "v1/rerank_pb2_grpc.py")
_HUB_FILES = ("model.onnx", "model.onnx.data", "tokenizer.json", "config.json")


def _rerank(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "rerank_service", *arguments]


def _export(source: Path, bundle: Path) -> None:
    subprocess.run(_rerank("export", str(source), "--out", str(bundle), "--name", "tiny"), check=True)


@contextmanager
def _serving(model: Path, *options: str) -> Iterator[dict[str, str]]:
    """Yield the log line `ready` of a server, which has the addresses."""
    serve = _rerank("serve", "--model", str(model), "--log-format", "json", *options)
    with subprocess.Popen(
        [*serve, "--grpc-port", "0", "--rest-port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            yield next(event for event in map(json.loads, process.stderr) if event["event"] == "ready")
        finally:
            process.kill()


def _printed(server: dict[str, str]) -> list[Any]:
    """Return what `rerank rank --json` prints."""
    ranked = _rerank("rank", "--server", server["grpc"], "--api-key", KEY, "--json", "--top-n", "2", *TEXTS)
    printed = subprocess.run(ranked, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def _responses(bundle: Path, hub_folder: Path) -> dict[str, Any]:
    with _serving(bundle, *OPTIONS) as server:
        responses = {
            "rest": rest_responses(server["rest"]),
            "grpc": grpc_responses(server["grpc"], descriptor_pool.Default()),
            "client": client_results(server["grpc"]),
            "rank": _printed(server),
        }
    with _serving(hub_folder, *OPTIONS) as server:
        hub = grpc_responses(server["grpc"], descriptor_pool.Default())
        return responses | {"hub folder": hub["texts"]}


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def main(checkout: Path, out: Path) -> None:
    """Write the fixtures to a folder, which is emptied before."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "client" / "rerank" / "v1").mkdir(parents=True)
    for name in _CLIENT:
        shutil.copyfile(checkout / "proto" / "rerank" / name, out / "client" / "rerank" / name)
    with tempfile.TemporaryDirectory() as work:
        source, hub_folder = Path(work) / "tiny", Path(work) / "hub"
        write_model(source)
        _export(source, out / "bundle")
        hub_folder.mkdir()
        for name in _HUB_FILES:
            shutil.copyfile(out / "bundle" / name, hub_folder / name)
        _write(out / "responses.json", _responses(out / "bundle", hub_folder))
    _write(out / "descriptors.json", descriptors())
    _write(
        out / "surface.json",
        {"settings": settings(), "options": command_options(), "lines": LINES, "paths": rest_paths()},
    )


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())

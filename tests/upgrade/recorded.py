"""The fixtures of version 0.1.0, as Python values."""

import json
from pathlib import Path
from typing import Any

VERSION = "0.1.0"
FOLDER = Path(__file__).parent / "fixtures" / VERSION
BUNDLE = FOLDER / "bundle"
"""A bundle that the exporter of that version wrote."""
CLIENT = FOLDER / "client"
"""The Python client of that version with its stubs: a folder for PYTHONPATH."""


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return content


RESPONSES = _read("responses.json")
"""Responses of that version's server, by protocol and name of the request."""
SURFACE = _read("surface.json")
"""Settings, options of commands, command lines and REST paths."""
DESCRIPTORS = _read("descriptors.json")
"""Descriptors of rerank.proto and of the files that it imports."""

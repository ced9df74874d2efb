"""The configuration of pip on this machine, for a build in a container."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CA_SECRET = "/run/secrets/ca"
"""Path of the secret `ca` in the Dockerfile."""


@dataclass(frozen=True, slots=True)
class PipConfiguration:
    """Configuration with which a container reaches the package index of this machine."""

    text: str
    """A pip.conf. Its authorities are those of the secret `ca`."""
    authorities: Path | None
    folders: tuple[Path, ...]
    """Folders of this machine that the text names."""

    def write(self, file: Path) -> list[str]:
        """Write the pip.conf, and return the variables of `make image` for it."""
        file.write_text(self.text)
        ca = [f"IMAGE_CA={self.authorities}"] if self.authorities else []
        volumes = " ".join(f"--volume {folder}:{folder}:ro" for folder in self.folders)
        return [f"IMAGE_PIP_CONF={file}", *ca, f"BUILD_OPTIONS={volumes}"]


def of_this_machine() -> PipConfiguration:
    """Return the configuration of files and environment variables."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    return parsed(listed.stdout)


def parsed(listed: str) -> PipConfiguration:
    """Return the configuration that `pip config list` printed. Variables override files, as in pip."""
    entries = [re.fullmatch(r"(global|:env:)\.([\w-]+)=(.+)", line) for line in listed.splitlines()]
    found = sorted((entry.groups() for entry in entries if entry), key=lambda entry: entry[0] == ":env:")
    values = {name: str(ast.literal_eval(value)).split() for _, name, value in found}
    values.pop("config-file", None)
    authorities = values.get("cert")
    if authorities:
        values["cert"] = [CA_SECRET]
    lines = [f"{name} = " + "\n  ".join(value) for name, value in values.items()]
    folders = {folder for name, value in values.items() if name != "cert" for folder in _folders(value)}
    return PipConfiguration(
        "\n".join(["[global]", *lines, ""]), Path(authorities[0]) if authorities else None, tuple(sorted(folders))
    )


def _folders(values: list[str]) -> Iterator[Path]:
    """Return the first two folders of each path: the pages of an index refer to files beside them."""
    for value in values:
        path = Path(value.removeprefix("file://"))
        if path.is_absolute() and len(path.parts) > 2:
            yield Path(*path.parts[:3])

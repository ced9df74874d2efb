"""Build the image with buildah, as root, without Docker, systemd and a registry of images."""

import json
import os
import platform
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import pip_configuration

ROOT = Path(__file__).parents[2]


def output(*command: str, **variables: str) -> str:
    """Run a command in the repository, and return its standard output without surrounding spaces.

    Raises:
        AssertionError: it failed; the message has the end of its output.
    """
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | variables)
    assert done.returncode == 0, f"{' '.join(command)}: {(done.stdout + done.stderr)[-4000:]}"
    return done.stdout.strip()


def make(*arguments: str) -> str:
    """Run make, without the variables of a make that runs this test. RUN steps need no OCI runtime."""
    inherited = [name for name in os.environ if name.startswith(("MAKE", "MFLAGS"))]
    unset = [f"--unset={name}" for name in inherited]
    return output("env", *unset, "make", "--no-print-directory", *arguments, BUILDAH_ISOLATION="chroot")


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the storage that buildah and podman share."""

    name: str
    labels: dict[str, str]
    layers: tuple[str, ...]
    """Digests of the uncompressed layers, the base first."""
    layer_bytes: tuple[int, ...]
    """Sizes of the uncompressed layers."""


@contextmanager
def built(base: str, folder: Path) -> Iterator[Image]:
    """Run `make image` on a base, with the package index of this machine. Remove the image at the end."""
    name = f"localhost/rerank-image-test:{uuid.uuid4().hex[:8]}"
    options = pip_configuration.of_this_machine().write(folder / "pip.conf")
    try:
        make("image", "BUILDER=buildah", f"IMAGE={name}", f"BASE={base}", *options)
        yield _inspected(name)
    finally:
        subprocess.run(["buildah", "rmi", name], capture_output=True)


def _inspected(name: str) -> Image:
    found = json.loads(output("buildah", "inspect", "--type", "image", name))
    manifest = json.loads(found["Manifest"])
    return Image(
        name,
        found["Docker"]["config"]["Labels"],
        tuple(found["Docker"]["rootfs"]["diff_ids"]),
        tuple(layer["size"] for layer in manifest["layers"]),
    )


def debian_base() -> str:
    """Return an image of this machine's Debian with its Python. It is made once, and kept."""
    release = platform.freedesktop_os_release()
    assert release["ID"] == "debian", "a base is made on Debian only: set BASE=<image with Python>"
    name = f"localhost/rerank-image-test-base:{release['VERSION_CODENAME']}"
    if subprocess.run(["buildah", "inspect", "--type", "image", name], capture_output=True).returncode:
        _make_base(name, release["VERSION_CODENAME"])
    return name


def _make_base(name: str, suite: str) -> None:
    container = output("buildah", "from", "scratch")
    try:
        root = Path(output("buildah", "mount", container))
        output(
            *("debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv"),
            *(suite, str(root), _mirror(suite)),
        )
        for pattern in ("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*_*"):
            for file in root.glob(pattern):
                file.unlink()
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        output("buildah", "config", "--env", f"PATH={path}", container)
        output("buildah", "commit", "--quiet", "--identity-label=false", container, name)
    finally:
        output("buildah", "rm", container)


def _mirror(suite: str) -> str:
    """Return the mirror from which apt of this machine takes a suite."""
    listed = output("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages")
    mirrors = [line.split()[1] for line in listed.splitlines() if line.split()[0] == suite]
    assert mirrors, f"apt has no lists of {suite}: run `apt-get update`"
    return mirrors[0]

"""The bundle: the model folder that the exporter writes and the server verifies and loads.

    manifest.json     see `Manifest`
    tokenizer.json    config.json
    model.onnx        the reference graph, with its weights in model.onnx.data
    model.*.onnx      variants for other engines; weights that they share are in model.onnx.data
    report.json       the comparison of the graphs with the source model
    golden.json       a few pairs with their logits, which are compared at each load (golden_pairs.py)

A hub folder, which has no manifest, is read as well (hub_folder.py).

Rule: the manifest lists every file of its folder, because a graph may name further files. Exceptions are the manifest
itself, *.md, hidden files, and files of the system, such as the ..data of a Kubernetes volume.
"""

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rerank_service.encoding.pair_format import pair_format
from rerank_service.engine.kinds import Engine
from rerank_service.errors import BundleInvalid
from rerank_service.file_version import FileVersion, file_version
from rerank_service.models.decoders import is_decoder
from rerank_service.models.files import AGAIN, CONFIG, MANIFEST, REPORT, TOKENIZER, read_json, validate
from rerank_service.models.hub_config import HubFiles, stated_positions, token_positions
from rerank_service.models.hub_folder import folder_of_graph, read_hub_folder
from rerank_service.models.hub_graph import complete_manifest
from rerank_service.models.manifest import Manifest
from rerank_service.models.manifest_file import read_manifest, write_manifest_file
from rerank_service.models.variants.weight_check import graph_files
from rerank_service.rust_panics import RustPanic, panics_as_errors

NOT_VERIFIED = "not verified"
"""Verdict of a folder without a report that compares its scores with the source model."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model folder: one with a manifest whose digests were verified, or a hub folder, which has no digests."""

    folder: Path
    """The folder that contains the graph, the tokenizer and the configuration."""
    manifest: Manifest
    """The contents of manifest.json; for a hub folder, the equivalent read from its other files."""
    versions: Mapping[Path, FileVersion] = field(default_factory=dict, compare=False, repr=False)
    """Versions of the files before they were verified, without the manifest, which is read once."""

    @property
    def graph(self) -> Path:
        """Path of the reference graph."""
        return self.folder / self.manifest.variants[0].file

    def variant(self, engine: Engine) -> Path | None:
        """Return the path of the graph that was exported for an engine, the packed one first; None without one."""
        matching = [variant for variant in self.manifest.variants if variant.runs(engine)]
        matching.sort(key=lambda variant: variant.layout != "packed")
        return self.folder / matching[0].file if matching else None

    @property
    def verdict(self) -> str:
        """Outcome of the comparison with the source model at export: passed, drift allowed, or not verified."""
        return self.manifest.verdict or NOT_VERIFIED

    @property
    def precision(self) -> str:
        """Precision of the reference graph: fp32, except for a hub folder with a quantized graph."""
        return self.manifest.variants[0].precision

    @property
    def is_quantized(self) -> bool:
        """True if the reference graph is quantized. It runs unchanged, on the CPU only."""
        return self.precision.startswith("int")

    @property
    def tokenizer(self) -> Path:
        """Path of tokenizer.json, in the format of the Hugging Face library `tokenizers`."""
        return self.folder / TOKENIZER

    @property
    def digest(self) -> str:
        """`Manifest.digest`; empty for a hub folder."""
        return self.manifest.digest if self.manifest.files else ""

    def check_unchanged(self, change: str = "while the model was loaded: load it again") -> None:
        """Compare the files with those that were verified, after they were read again. `change` ends the message.

        Raises:
            BundleInvalid: a file was changed or replaced meanwhile, so parts of two models may be mixed.
        """
        for path, version in self.versions.items():
            if _version(path) != version:
                raise BundleInvalid(f"{path} was changed {change}")

    @property
    def logits_digest(self) -> str:
        """`Manifest.logits_digest`; empty for a hub folder."""
        return self.manifest.logits_digest if self.manifest.files else ""


def open_bundle(folder: Path) -> Bundle:
    """Read and verify a model folder. For a hub folder, `folder` may be the path of a graph in it.

    Raises:
        BundleInvalid: a file is missing, altered, not listed in the manifest, not readable, or not valid.
    """
    try:
        with panics_as_errors():
            return _open(folder)
    except OSError as error:
        raise BundleInvalid(f"{folder} cannot be read: {error}") from error
    except RustPanic as error:
        raise BundleInvalid(f"{folder / TOKENIZER} cannot be used: {error}") from error


def _open(folder: Path) -> Bundle:
    if os.path.lexists(folder / MANIFEST):
        manifest = read_manifest(folder)
        bundle = Bundle(folder, manifest, _versions(folder / name for name in manifest.files))
        _check_all_are_listed(bundle)
        _check_digests(bundle)
        _check_weights_are_listed(bundle)
        _check_verdict(bundle)
        _check_template(bundle)
        _check_token_limit(bundle)
    else:
        versions = _versions(hub_files(folder))
        hub_folder = read_hub_folder(folder)
        manifest = validate(Manifest, complete_manifest(hub_folder), hub_folder.folder)
        bundle = Bundle(hub_folder.folder, manifest, versions)
    for required in (bundle.graph, bundle.tokenizer):
        if not required.is_file():
            raise BundleInvalid(f"{folder} has no {required.relative_to(bundle.folder)}")
    return bundle if bundle.manifest.files else _with_used_files(bundle)


def _with_used_files(bundle: Bundle) -> Bundle:
    """Return a hub folder with the versions of the files that the model consists of. Others, such as a log, may change
    at any time."""
    weights = {path.absolute() for path in graph_files(bundle.graph)}
    used = {
        path: version
        for path, version in bundle.versions.items()
        if path.absolute() in weights or path.suffix == ".json"
    }
    return replace(bundle, versions=used)


def _versions(paths: Iterable[Path]) -> dict[Path, FileVersion]:
    return {path: _version(path) for path in paths}


def _version(path: Path) -> FileVersion:
    """Return the version of a file without the time of its status, which a new name or new permissions change."""
    version = file_version(path)
    return None if version is None else version[:4]


def hub_files(path: Path) -> Iterator[Path]:
    """Yield the files that may belong to a hub folder: those in it, and in the folders of its graphs.

    `path` is the folder, or a graph in it.
    """
    base, places = (path, ()) if path.is_dir() else (folder_of_graph(path), (path.absolute().parent,))
    for folder in dict.fromkeys((base, base / "onnx", *places)):
        yield from (each for each in folder.glob("*") if each.is_file() and not is_ignored(each.name))


def write_manifest(folder: Path, manifest: Manifest) -> Bundle:
    """Write the manifest of a folder, after all other files. `files` is computed from the folder."""
    complete = manifest.model_copy(update={"files": file_digests(folder)})
    return Bundle(folder, write_manifest_file(folder, complete))


def file_digests(folder: Path) -> dict[str, str]:
    """Return the sha256, in hex, of each file that the manifest of a folder must list."""
    return {name: file_digest(folder / name) for name in sorted(_names_to_list(folder))}


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names_to_list(folder: Path) -> Iterator[str]:
    """Yield the names of all files that a manifest must list. Follows links to folders, as in a Kubernetes volume."""
    visited: set[str] = set()
    for directory, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        if (resolved := os.path.realpath(directory)) in visited:  # reached by a link
            folders.clear()
            continue
        visited.add(resolved)
        folders[:] = sorted(name for name in folders if not is_ignored(name))
        names = [(Path(directory) / name).relative_to(folder).as_posix() for name in files if not is_ignored(name)]
        yield from (name for name in names if name != MANIFEST and not name.endswith(".md"))


def is_ignored(name: str) -> bool:
    """Return whether a file or folder of this name is not part of a bundle."""
    return name.startswith(".") or name in ("__pycache__", "lost+found")


def _raise(error: OSError) -> None:
    raise error


def _check_all_are_listed(bundle: Bundle) -> None:
    listed = bundle.manifest.files.keys()
    without_digest = {TOKENIZER, *(variant.file for variant in bundle.manifest.variants)} - listed
    if without_digest:
        raise BundleInvalid(f"{bundle.folder / MANIFEST} has no digest for {', '.join(sorted(without_digest))}")
    unlisted = sorted(set(_names_to_list(bundle.folder)) - listed)
    if unlisted:
        raise BundleInvalid(
            f"{bundle.folder / unlisted[0]} is not in {MANIFEST}, so it cannot be verified: remove it, {AGAIN}"
        )


def _check_weights_are_listed(bundle: Bundle) -> None:
    """Check that no graph has weights in a file that a manifest need not list, such as a hidden one."""
    listed = bundle.manifest.files
    found = (path for path in bundle.folder.rglob("*") if path.is_file())
    unlisted = [path.name for path in found if path.relative_to(bundle.folder).as_posix() not in listed]
    for graph in {bundle.folder / variant.file for variant in bundle.manifest.variants}:
        if not any(_occurs(name.encode(), graph) for name in unlisted):  # then it names none, and need not be parsed
            continue
        for name in (path.relative_to(bundle.folder).as_posix() for path in graph_files(graph)):
            if name not in listed:
                raise BundleInvalid(f"{graph} has weights in {name}, which {MANIFEST} does not list: {AGAIN}")


def _occurs(content: bytes, file: Path) -> bool:
    """Return whether a file contains these bytes."""
    if not file.stat().st_size:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(content) >= 0


def _check_digests(bundle: Bundle) -> None:
    for name, digest in bundle.manifest.files.items():
        path = bundle.folder / name
        if not path.is_file():
            raise BundleInvalid(f"{bundle.folder} lacks {name}, which {MANIFEST} lists: {AGAIN}")
        if file_digest(path) != digest:
            raise BundleInvalid(f"{path} was altered: its sha256 differs from {MANIFEST}. Either {AGAIN}")


def _check_verdict(bundle: Bundle) -> None:
    """Check that manifest and report have the same verdict, so that editing only one of them is an error."""
    verdict = bundle.manifest.verdict
    if verdict is None:
        return
    reported = read_json(bundle.folder / REPORT).get("verdict") if REPORT in bundle.manifest.files else None
    if reported != verdict:
        raise BundleInvalid(
            f"{bundle.folder / MANIFEST} has the verdict {verdict!r}, but {REPORT} has {reported!r}: {AGAIN}"
        )


def _check_token_limit(bundle: Bundle) -> None:
    """Check that the graph has as many positions as a pair may have tokens. Longer pairs would fail."""
    config, manifest = _config(bundle), bundle.manifest
    field, stated = stated_positions(config)
    if not isinstance(stated, int) or stated <= 0:
        return
    positions = token_positions(stated, config.get("model_type"), manifest.pad_id)
    if manifest.max_tokens > positions:
        raise BundleInvalid(
            f"{bundle.folder / MANIFEST} has max_tokens {manifest.max_tokens:,}, but the model has {positions:,} "
            f"positions for tokens ({field} in {CONFIG} is {stated:,}): set it to at most {positions:,}"
        )


def _config(bundle: Bundle) -> dict[str, Any]:
    """Return the contents of config.json; empty if the bundle has none."""
    return read_json(bundle.folder / CONFIG) if CONFIG in bundle.manifest.files else {}


def _check_template(bundle: Bundle) -> None:
    """Reject a bundle of version 0.1 that has no template and needs one: that exporter did not check it.

    Later exporters write into the manifest why a bundle has no template.
    """
    manifest, files = bundle.manifest, HubFiles(bundle.folder)
    if manifest.template is not None or manifest.template_origin or not bundle.tokenizer.is_file():
        return
    kind = _config(bundle).get("model_type")
    found = pair_format(files.tokenizer) if files.tokenizer else None
    if found is not None and (is_decoder(kind, manifest.architecture) or not found.separates):
        raise BundleInvalid(
            f"{bundle.folder} has no template, and its tokenizer puts {found} between query and document. So its "
            "scores are probably wrong: export the model again with `rerank export`, whose option --template none "
            "keeps this format"
        )

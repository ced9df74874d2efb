"""The model folder: what the exporter writes and the server trusts.

    manifest.json     what this page calls Manifest
    tokenizer.json    config.json
    model.onnx        the reference graph; its weights beside it in model.onnx.data
    model.*.onnx      variants for other engines; weights that they share lie in model.onnx.data
    report.json       how the graphs compare with their source

A folder without a manifest, as the Hugging Face hub and its tools have them, is read too (foreign.py).

Rule: every file in the folder of a manifest is in that manifest, since a graph names further files itself; but for
the manifest, *.md, and what is hidden or the system's, such as the ..data of a Kubernetes volume.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rerank_service.encoding.template import Template
from rerank_service.engine.kinds import Engine
from rerank_service.errors import BundleInvalid
from rerank_service.models.files import (
    MANIFEST,
    MAX_PAD_ID,
    MAX_TOKENS,
    MIN_TOKENS,
    REPORT,
    TOKENIZER,
    checked,
    read_json,
)
from rerank_service.models.hub_folder import read_foreign
from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.scores import Activation

_NOT_SCORING = {"name", "source", "revision", "recipe", "verdict"}
"""Fields of a manifest that say where a model came from, what it is called, and how it did in tests."""
_MEASURED = {"parity", "speed"}
"""Such fields of a variant."""

NOT_VERIFIED = "not verified"
"""Of a folder whose report says nothing of its scores."""


class Variant(BaseModel):
    """One graph of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """The graph's name in the bundle."""
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    """What it computes in."""
    weights: Literal["fp32", "fp16", "bf16", "int8"]
    """What its weights are stored as; those of a graph that computes in fp32 as fp16 where that loses nothing, or where
    it was asked for."""
    provider: Literal["cpu", "cuda"] | None = None
    """What it was made for; None: any."""
    layout: Literal["packed"] | None = None
    """packed: padding is taken out, so that it runs on CUDA alone, and without CUDA graphs."""
    parity: float | None = None
    """Mean Kendall tau-b with the source; None where it was not measured."""
    speed: float | None = None
    """Pairs a second, times the reference's, where it was exported."""

    def runs(self, engine: Engine) -> bool:
        """Whether it was made for an engine."""
        fits = self.provider in (None, engine.provider.value) and self.precision == engine.precision.value
        return fits and not (self.layout == "packed" and engine.cuda_graphs)


class Manifest(BaseModel):
    """What the server needs to know of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Of this form. A server refuses one that it does not know."""
    name: str = Field(min_length=1)
    """What the model is called where it is served."""
    source: str
    """Hub id, or the name of the folder, that it was exported from."""
    revision: str = ""
    """Commit of the hub's repository."""
    architecture: str = ""
    max_tokens: int = Field(ge=MIN_TOKENS, le=MAX_TOKENS)
    """Tokens of a pair, special tokens included."""
    pad_id: int = Field(ge=0, le=MAX_PAD_ID)
    activation: Activation = Activation.SIGMOID
    calibration: Calibration | None = None
    template: Template | None = None
    """How a pair is written; None: as the tokenizer lays it out."""
    difference: tuple[int, int] | None = None
    """Of a graph that gives two logits a pair: the place of relevance, and of the other, whose logit is taken from it.
    None: it gives one."""
    variants: tuple[Variant, ...] = Field(min_length=1)
    files: dict[str, str]
    """sha256 of each file of the bundle, by its name."""
    verdict: Literal["passed", "drift allowed"] | None = None
    """What the report says of the comparison with the source; None where there was none."""
    recipe: dict[str, Any] = {}
    """How it was made: versions and options."""

    @field_validator("files")
    @classmethod
    def _inside_the_bundle(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name} lies outside the bundle")
        return files

    @property
    def digest(self) -> str:
        """sha256 over all that scores may depend on, the files' digests among it: equal digests, equal scores."""
        return self._digest_without(_NOT_SCORING)

    @property
    def logits_digest(self) -> str:
        """The same of what logits may depend on: what was derived from a graph, or measured, holds as long as that."""
        return self._digest_without(_NOT_SCORING | {"calibration"})

    def _digest_without(self, fields: set[str]) -> str:
        # without what is None: a bundle keeps its digest when this form gets one more field
        left_out: dict[str, Any] = dict.fromkeys(fields, True)
        left_out |= {"variants": {"__all__": _MEASURED}, "files": {REPORT}}
        covered = self.model_dump(mode="json", exclude=left_out, exclude_none=True)
        return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder that can be served."""

    folder: Path
    manifest: Manifest

    @property
    def graph(self) -> Path:
        """The graph to run."""
        return self.folder / self.manifest.variants[0].file

    def variant(self, engine: Engine) -> Path | None:
        """The graph that was exported for an engine, one without padding before one with."""
        found = [variant for variant in self.manifest.variants if variant.runs(engine)]
        found.sort(key=lambda variant: variant.layout != "packed")
        return self.folder / found[0].file if found else None

    @property
    def verdict(self) -> str:
        """What the exporter's report says of its scores."""
        return self.manifest.verdict or NOT_VERIFIED

    @property
    def precision(self) -> str:
        """What the graph computes in, run as it is; another than fp32 only where a folder of the hub has no other."""
        return self.manifest.variants[0].precision

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of the Hugging Face library of that name."""
        return self.folder / TOKENIZER

    @property
    def digest(self) -> str:
        """The manifest's digest; empty for a folder without a manifest."""
        return self.manifest.digest if self.manifest.files else ""

    @property
    def logits_digest(self) -> str:
        """Likewise."""
        return self.manifest.logits_digest if self.manifest.files else ""


def open_bundle(folder: Path) -> Bundle:
    """Read a model folder and check it; of a folder without a manifest, a graph in it may be named instead.

    Raises:
        BundleInvalid: a file is missing, altered, not listed, not readable or not understood.
    """
    try:
        return _open(folder)
    except OSError as error:
        raise BundleInvalid(f"{folder} cannot be read: {error}") from error


def _open(folder: Path) -> Bundle:
    if os.path.lexists(folder / MANIFEST):
        bundle = Bundle(folder, checked(Manifest, read_json(folder / MANIFEST), folder / MANIFEST))
        _check_all_are_listed(bundle)
        _check_digests(bundle)
        _check_verdict(bundle)
    else:
        foreign = read_foreign(folder)
        bundle = Bundle(foreign.folder, checked(Manifest, foreign.manifest, foreign.folder))
    for needed in (bundle.graph, bundle.tokenizer):
        if not needed.is_file():
            raise BundleInvalid(f"{folder} has no {needed.relative_to(bundle.folder)}")
    return bundle


def write_manifest(folder: Path, manifest: Manifest) -> Bundle:
    """Write the manifest of a folder whose other files are all there; their digests are taken here."""
    complete = manifest.model_copy(
        update={"files": {name: file_digest(folder / name) for name in sorted(_to_be_listed(folder))}}
    )
    _replace(folder / MANIFEST, complete.model_dump_json(indent=2, exclude_none=True) + "\n")
    return Bundle(folder, complete)


def _replace(path: Path, content: str) -> None:
    """All of it or nothing, and never a name that the folder's manifest lacks."""
    begun = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        begun.write_text(content)
        begun.replace(path)
    finally:
        begun.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_be_listed(folder: Path) -> Iterator[str]:
    """Names of all files that a manifest has to list. Links to folders are followed: a Kubernetes volume has them."""
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        if (where := os.path.realpath(here)) in seen:  # by a link: its files are listed already
            folders.clear()
            continue
        seen.add(where)
        folders[:] = sorted(name for name in folders if not is_ignored(name))
        names = [(Path(here) / name).relative_to(folder).as_posix() for name in files if not is_ignored(name)]
        yield from (name for name in names if name != MANIFEST and not name.endswith(".md"))


def is_ignored(name: str) -> bool:
    """Whether a file or folder of that name is none of the bundle's."""
    return name.startswith(".") or name in ("__pycache__", "lost+found")


def _raise(error: OSError) -> None:
    raise error


def _check_all_are_listed(bundle: Bundle) -> None:
    listed = bundle.manifest.files.keys()
    unlisted = {TOKENIZER, *(variant.file for variant in bundle.manifest.variants)} - listed
    if unlisted:
        raise BundleInvalid(f"{bundle.folder / MANIFEST} gives no digest for {', '.join(sorted(unlisted))}")
    beside = sorted(set(_to_be_listed(bundle.folder)) - listed)
    if beside:
        raise BundleInvalid(
            f"{bundle.folder / beside[0]} is not in {MANIFEST}, so nothing says whether it is the model's: "
            "remove it, export the model again, or fetch the bundle anew"
        )


def _check_digests(bundle: Bundle) -> None:
    for name, digest in bundle.manifest.files.items():
        path = bundle.folder / name
        if not path.is_file():
            raise BundleInvalid(f"{bundle.folder} lacks {name}, which its manifest names")
        if file_digest(path) != digest:
            raise BundleInvalid(
                f"{path} is not the file that the manifest was written for (sha256 differs): "
                "export the model again, or fetch the bundle anew"
            )


def _check_verdict(bundle: Bundle) -> None:
    """A verdict stands in the manifest and in the report, which has a digest: neither can be changed alone."""
    said = bundle.manifest.verdict
    if said is None:
        return
    reported = read_json(bundle.folder / REPORT).get("verdict") if REPORT in bundle.manifest.files else None
    if reported != said:
        raise BundleInvalid(
            f"{bundle.folder / MANIFEST} says that the export was {said!r}, and {REPORT} says {reported!r}: "
            "export the model again, or fetch the bundle anew"
        )

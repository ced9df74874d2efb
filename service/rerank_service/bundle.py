"""The model folder: what the exporter writes and the server trusts.

    manifest.json     what this page calls Manifest
    tokenizer.json    config.json
    model.onnx        the graph; its weights beside it in model.onnx.data
    report.json       how the graph compares with its source

A plain folder as the Hugging Face hub has them (`model.onnx` or `onnx/model.onnx`, `tokenizer.json`,
`config.json`) is read too, with defaults taken from its config.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rerank_service.errors import BundleInvalid
from rerank_service.ranking import Activation

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
REPORT = "report.json"

DEFAULT_MAX_TOKENS = 512
"""The window of a folder whose config does not say."""
_NUMBERED_FROM_PAD_ID = (
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
)
"""RoBERTa and its kin: position ids begin at pad_token_id + 1, so that as many are never used."""


class Variant(BaseModel):
    """One graph of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """The graph's name in the bundle."""
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    """What it computes in."""
    weights: Literal["fp32", "fp16", "bf16", "int8"]
    """What its weights are stored as; fp16 only where that loses nothing."""


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
    max_tokens: int = Field(ge=8)
    """Tokens of a pair, special tokens included."""
    pad_id: int = Field(ge=0)
    activation: Activation = Activation.SIGMOID
    variants: tuple[Variant, ...] = Field(min_length=1)
    files: dict[str, str]
    """sha256 of each file of the bundle, by its name."""
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
        """sha256 over the files' digests."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder that can be served."""

    folder: Path
    manifest: Manifest

    @property
    def graph(self) -> Path:
        """The graph to run."""
        return self.folder / self.manifest.variants[0].file

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of the Hugging Face library of that name."""
        return self.folder / TOKENIZER

    @property
    def digest(self) -> str:
        """The manifest's digest; empty for a folder without a manifest."""
        return self.manifest.digest if self.manifest.files else ""


def open_bundle(folder: Path) -> Bundle:
    """Read a model folder and check it.

    Raises:
        BundleInvalid: a file is missing, altered or not understood.
    """
    if not folder.is_dir():
        raise BundleInvalid(
            f"{folder} is not a folder: give one that `rerank export` wrote, or one with "
            "model.onnx, tokenizer.json and config.json"
        )
    if (folder / MANIFEST).exists():
        bundle = Bundle(folder, _manifest(folder))
        _check_digests(bundle)
    else:
        bundle = Bundle(folder, _manifest_of_plain_folder(folder))
    for needed in (bundle.graph, bundle.tokenizer):
        if not needed.is_file():
            raise BundleInvalid(f"{folder} has no {needed.relative_to(folder)}")
    return bundle


def write_manifest(folder: Path, manifest: Manifest) -> Bundle:
    """Write the manifest of a folder whose other files are all there; their digests are taken here."""
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST
    )
    complete = manifest.model_copy(update={"files": {name: file_digest(folder / name) for name in names}})
    (folder / MANIFEST).write_text(complete.model_dump_json(indent=2) + "\n")
    return Bundle(folder, complete)


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BundleInvalid(f"{folder / MANIFEST}: {where}: {first['msg']}") from error


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
    unlisted = {TOKENIZER, *(variant.file for variant in bundle.manifest.variants)} - bundle.manifest.files.keys()
    if unlisted:
        raise BundleInvalid(f"{bundle.folder / MANIFEST} gives no digest for {', '.join(sorted(unlisted))}")


def _manifest_of_plain_folder(folder: Path) -> Manifest:
    graphs = [name for name in (GRAPH, f"onnx/{GRAPH}") if (folder / name).is_file()]
    if not graphs:
        raise BundleInvalid(
            f"{folder} has neither {MANIFEST} nor {GRAPH} nor onnx/{GRAPH}: "
            "make a bundle with `rerank export` (make export MODEL=… OUT=…)"
        )
    config = read_json(folder / CONFIG)
    labels = config.get("num_labels", len(config.get("id2label") or {"0": ""}))
    if labels != 1:
        raise BundleInvalid(f"{folder / CONFIG} describes {labels} labels; a cross-encoder served here has one")
    tokenizer_config = folder / "tokenizer_config.json"
    return Manifest(
        name=folder.resolve().name,
        source=str(config.get("_name_or_path") or folder.resolve().name),
        architecture=next(iter(config.get("architectures") or [""])),
        max_tokens=window(config, read_json(tokenizer_config) if tokenizer_config.exists() else {}),
        pad_id=config.get("pad_token_id") or 0,
        variants=(Variant(file=graphs[0], precision="fp32", weights="fp32"),),
        files={},
    )


def window(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> int:
    """Tokens that a pair may have, by a model's config.json and tokenizer_config.json."""
    positions = config.get("max_position_embeddings") or DEFAULT_MAX_TOKENS
    if config.get("model_type") in _NUMBERED_FROM_PAD_ID:
        positions -= (config.get("pad_token_id") or 0) + 1
    stated = tokenizer_config.get("model_max_length") or positions
    return int(min(positions, stated))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BundleInvalid: there is none.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise BundleInvalid(f"{path} is missing") from error
    except ValueError as error:
        raise BundleInvalid(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BundleInvalid(f"{path} is not a JSON object")
    return value

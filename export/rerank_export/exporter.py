"""The flow of an export: fetch, export, store, compare, and only then put the bundle where it was asked for."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rerank_export.errors import ExportFailed
from rerank_export.graph import OPSET, export_graph
from rerank_export.parity import Parity, compare, versions
from rerank_export.passes import apply_passes
from rerank_export.quiet import quiet
from rerank_export.source import Source, checked_config, fetch
from rerank_export.tokenizer import write_tokenizer
from rerank_export.weights import halve_weights, save
from rerank_service.bundle import (
    CONFIG,
    GRAPH,
    MANIFEST,
    REPORT,
    TOKENIZER,
    WEIGHTS,
    Bundle,
    Manifest,
    Variant,
    open_bundle,
    read_json,
    window,
    write_manifest,
)
from rerank_service.errors import BundleInvalid

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that is where it was asked for."""

    bundle: Bundle
    parity: Parity


def export(
    model: str, out: Path, *, revision: str | None = None, name: str | None = None, say: Say = print
) -> Exported:
    """Make a bundle of a hub id or a folder.

    Nothing is left at `out` unless all went well; a bundle that is there already is replaced.

    Raises:
        ExportFailed: it cannot be done, and why.
    """
    target = out.resolve()  # "." has no name, and a link is not to be replaced by what it leads to
    if not _is_free(target):
        raise ExportFailed(f"{out} is there and is no bundle: choose another OUT, or remove it")
    try:
        say(f"fetching {model}")
        source = fetch(model, revision)
        with quiet():
            config = checked_config(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
                made = Path(work) / "bundle"
                parity = _make(source, config, made, name or target.name, say)
                bundle = open_bundle(made)
                _replace(made, target)
    except (OSError, BundleInvalid) as error:
        raise ExportFailed(str(error)) from error
    return Exported(Bundle(out, bundle.manifest), parity)


def _make(source: Source, config: dict[str, Any], made: Path, name: str, say: Say) -> Parity:
    made.mkdir()
    write_tokenizer(source, made / TOKENIZER)
    shutil.copyfile(source.folder / CONFIG, made / CONFIG)
    say("exporting the graph (of a large model: for minutes)")
    graph, passes = apply_passes(export_graph(source, made.with_name("optimum")))
    variant = Variant(file=GRAPH, precision="fp32", weights="fp16" if halve_weights(graph) else "fp32")
    save(graph, made / GRAPH, WEIGHTS)
    manifest = _manifest(source, config, name, variant, passes)
    say("comparing with transformers")
    parity = compare(Bundle(made, manifest), source)
    if not parity.holds:
        raise ExportFailed(
            f"{source.id}: the exported graph does not score as the model does: logits differ by up to "
            f"{parity.max_difference:.1e} (pair {parity.worst_pair}), and by {parity.max_batch_difference:.1e} with "
            f"the batch; {parity.tolerance:.0e} is allowed. No bundle was written"
        )
    (made / REPORT).write_text(json.dumps(parity.report(), indent=2) + "\n")
    write_manifest(made, manifest)
    return parity


def _manifest(source: Source, config: dict[str, Any], name: str, variant: Variant, passes: dict[str, str]) -> Manifest:
    tokenizer_config = source.folder / "tokenizer_config.json"
    return Manifest(
        name=name,
        source=source.id,
        revision=source.revision,
        architecture=config["architectures"][0],
        max_tokens=window(config, read_json(tokenizer_config) if tokenizer_config.is_file() else {}),
        pad_id=config.get("pad_token_id") or 0,
        variants=(variant,),
        files={},
        recipe={"task": "text-classification", "opset": OPSET, "passes": passes, "versions": versions()},
    )


def _is_free(out: Path) -> bool:
    """Whether nothing but a bundle would be lost."""
    if not out.is_dir():
        return not out.exists()
    try:
        Manifest.model_validate_json((out / MANIFEST).read_bytes())
    except FileNotFoundError:
        return not any(out.iterdir())
    except ValidationError:  # others write files of that name too
        return False
    return True


def _replace(made: Path, out: Path) -> None:
    made.chmod(0o755)  # onnx and tempfile make what only their owner reads; a server runs as somebody else
    for path in made.iterdir():
        path.chmod(0o644)
    if out.exists():
        out.replace(made.with_name("replaced"))
    made.replace(out)

"""The flow of an export: fetch, export, store, compare, and only then put the bundle where it was asked for."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed
from rerank_export.graph import OPSET, export_graph
from rerank_export.parity import Parity, compare, versions
from rerank_export.source import Source, fetch
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


def export(model: str, out: Path, *, revision: str | None = None, name: str | None = None, say: Say = print) -> Bundle:
    """Make a bundle of a hub id or a folder.

    Nothing is left at `out` unless all went well; a bundle that is there already is replaced.

    Raises:
        ExportFailed: it cannot be done, and why.
    """
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ExportFailed(f"{out} is there and is no bundle: choose another OUT, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as work:
        made = Path(work) / "bundle"
        try:
            parity = _make(model, made, Path(work) / "optimum", revision, name or out.name, say)
            bundle = open_bundle(made)
        except (OSError, BundleInvalid) as error:
            raise ExportFailed(str(error)) from error
        _replace(made, out)
    say(f"{out}: {_size(out):.0f} MB, max |Δlogit| {parity.max_difference:.1e} over {parity.pairs} pairs")
    return Bundle(out, bundle.manifest)


def _make(model: str, made: Path, work: Path, revision: str | None, name: str, say: Say) -> Parity:
    made.mkdir()
    say(f"fetching {model}")
    source = fetch(model, revision)
    config = _checked_config(source)
    say("exporting the graph")
    graph = export_graph(source, work)
    halved = halve_weights(graph)
    save(graph, made / GRAPH, WEIGHTS)
    tokenizer = source.folder / TOKENIZER
    # as published, where it is: transformers writes another form of it
    shutil.copyfile(tokenizer if tokenizer.is_file() else work / TOKENIZER, made / TOKENIZER)
    shutil.copyfile(source.folder / CONFIG, made / CONFIG)
    manifest = Manifest(
        name=name,
        source=source.id,
        revision=source.revision,
        architecture=config["architectures"][0],
        max_tokens=window(config, _read_if_there(source.folder / "tokenizer_config.json")),
        pad_id=config.get("pad_token_id") or 0,
        variants=(Variant(file=GRAPH, precision="fp32", weights="fp16" if halved else "fp32"),),
        files={},
        recipe={"task": "text-classification", "opset": OPSET, "versions": versions()},
    )
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


def _checked_config(source: Source) -> dict[str, Any]:
    config = read_json(source.folder / CONFIG)
    architecture = next(iter(config.get("architectures") or [""]))
    labels = config.get("num_labels", len(config.get("id2label") or {"LABEL_0": "", "LABEL_1": ""}))
    if not architecture.endswith("ForSequenceClassification"):
        raise ExportFailed(
            f"{source.id} is a {architecture or 'model without a stated architecture'}, not a "
            "cross-encoder (…ForSequenceClassification): it gives no score for a pair"
        )
    if labels != 1:
        raise ExportFailed(f"{source.id} has {labels} labels; a cross-encoder that is served here has one")
    return config


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _replace(made: Path, out: Path) -> None:
    made.chmod(0o755)  # onnx and tempfile make what only their owner reads; a server runs as somebody else
    for path in made.iterdir():
        path.chmod(0o644)
    if out.exists():
        shutil.rmtree(out)
    made.replace(out)


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6

"""The bundle with its reference graph, before it is compared."""

import importlib.metadata
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.gate.edge_pairs import sample_batches
from rerank_export.gate.verification import library_errors_as_export_failed
from rerank_export.graph.graph_export import OPSET, export_graph
from rerank_export.graph.passes.pass_runner import apply_passes
from rerank_export.graph.weight_storage import halve_weights, save_graph
from rerank_export.inspection import InspectedModel
from rerank_export.scoring.pair_format_check import PAIR_FORMAT
from rerank_export.variants.precisions import FP32
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import CONFIG, GRAPH, TOKENIZER, WEIGHTS
from rerank_service.models.hub_config import HubFiles, check_lower_case, token_limit
from rerank_service.models.manifest import Manifest, Variant
from rerank_service.models.variants.shared_prefix import shares_prefixes

_RECORDED_PACKAGES = ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "tokenizers")


@dataclass(frozen=True, slots=True)
class BuiltBundle:
    """A folder with tokenizer, config and reference graph; its manifest is not written yet."""

    bundle: Bundle
    rounded: bool
    """True if the weights of the reference graph are rounded to fp16."""


def build_bundle(
    model: InspectedModel, work: Path, *, name: str, precisions: frozenset[str], without_passes: frozenset[str]
) -> BuiltBundle:
    """Export the reference graph to a new folder in `work`.

    `name` is the model's name where it is served. Without fp32 in `precisions`, weights are rounded to fp16. The passes
    in `without_passes` do not run.

    Raises:
        ExportFailed: the graph cannot be exported.
        BundleInvalid: the model's files contradict each other.
        OSError: the disk is full.
    """
    manifest = _manifest(model, name)
    folder = work / "bundle"
    folder.mkdir()
    (folder / TOKENIZER).write_bytes(model.tokenizer)
    check_lower_case(HubFiles(model.source.folder), folder / TOKENIZER)
    shutil.copyfile(model.source.folder / CONFIG, folder / CONFIG)
    batches = sample_batches(Bundle(folder, manifest))
    graph = export_graph(model.source, model.scoring, work / "exported")
    with library_errors_as_export_failed(model.source, work):
        graph, notes = apply_passes(graph, work / "passes", batches, without_passes)
    stored = halve_weights(graph)
    rounded = stored == FP32 and FP32 not in precisions
    if rounded:
        stored = halve_weights(graph, rounded=True)
    save_graph(graph, folder / GRAPH, WEIGHTS)
    variant = Variant(file=GRAPH, precision="fp32", weights=stored)
    recipe = manifest.recipe | {"passes": notes, "shares_prefixes": shares_prefixes(graph)}
    return BuiltBundle(Bundle(folder, manifest.model_copy(update={"variants": (variant,), "recipe": recipe})), rounded)


def _manifest(model: InspectedModel, name: str) -> Manifest:
    """Return the manifest with all fields that do not depend on the graph."""
    source, config, scoring = model.source, model.config, model.scoring
    most = token_limit(HubFiles(source.folder, config))
    return Manifest(
        name=name,
        source=source.id,
        revision=source.revision,
        architecture=config["architectures"][0],
        max_tokens=min(most, scoring.max_tokens or most, scoring.graph_tokens or most),
        pad_id=config.get("pad_token_id") or 0,
        activation=scoring.activation,
        template=scoring.template,
        variants=(Variant(file=GRAPH, precision="fp32", weights="fp32"),),
        files={},
        recipe=_recipe(model),
    )


def _recipe(model: InspectedModel) -> dict[str, Any]:
    scoring = model.scoring
    versions = {name: importlib.metadata.version(name) for name in _RECORDED_PACKAGES}
    origin = scoring.template_origin or PAIR_FORMAT
    recipe = {"task": scoring.task, "rows": scoring.rows, "template_origin": origin, "opset": OPSET}
    recipe |= {"versions": versions}
    return recipe | ({"configured_activation": scoring.configured.value} if scoring.configured else {})

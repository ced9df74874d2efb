"""Read the facts about the graph of a hub folder that its other files do not state: precision, and activation."""

from collections.abc import Collection
from typing import Any

from rerank_service.engine.logits import GraphActivation
from rerank_service.errors import BundleInvalid
from rerank_service.models.files import CONFIG
from rerank_service.models.graph_activation import ending
from rerank_service.models.graph_nodes import load_graph
from rerank_service.models.graph_precision import precisions
from rerank_service.models.hub_config import TOKENIZER_CONFIG, HubFiles
from rerank_service.models.hub_folder import HubFolder
from rerank_service.models.variants.weight_check import check_weights

_TYPES = "token_type_ids"


def complete_manifest(folder: HubFolder) -> dict[str, Any]:
    """Return the fields that the manifest of a bundle would have, with those that only the graph states. Blocks.

    Raises:
        BundleInvalid: the graph is damaged, its weights are missing, its scores would all be equal, or it has token
            types that the model does not get, or lacks those that it gets.
    """
    model = load_graph(folder.graph)
    check_weights(model, folder.graph)
    _check_token_types(folder, {graph_input.name for graph_input in model.graph.input})
    precision, weights = precisions(model)
    end, manifest = ending(model), folder.manifest
    softmax = end.activation in (GraphActivation.SOFTMAX, GraphActivation.LOG_SOFTMAX)
    if softmax and not end.chooses and manifest["difference"] is None:
        raise BundleInvalid(
            f"{folder.graph} ends with a softmax, and {folder.folder / CONFIG} describes one label, whose softmax is "
            "always 1: list both labels in id2label, or export the model"
        )
    graphs = [{**variant, "precision": precision, "weights": weights} for variant in manifest["variants"]]
    return {**manifest, "variants": graphs, "graph_activation": end.activation}


def _check_token_types(folder: HubFolder, inputs: Collection[str]) -> None:
    """Reject a graph with token types if transformers gives none to this model, or without them if it does: optimum's
    graphs of BERT always have that input, and optimum fills it with 0, but the tokenizer gives 1 to the document."""
    files = HubFiles(folder.folder)
    names, tokenizer = files.tokenizer_config.model_input_names, files.tokenizer
    if tokenizer is None or not any(tokenizer.encode("a", "b").type_ids):
        return
    left_out = names is not None and _TYPES not in names
    if left_out and _TYPES in inputs:
        raise BundleInvalid(
            f"{folder.graph} has the input {_TYPES}, which model_input_names in "
            f"{folder.folder / TOKENIZER_CONFIG} leaves out: export the model"
        )
    types = files.config.type_vocab_size or 0
    if not left_out and _TYPES not in inputs and types > 1:
        raise BundleInvalid(
            f"{folder.graph} lacks the input {_TYPES}, but type_vocab_size in {folder.folder / CONFIG} is {types}, and "
            "the tokenizer gives other types than 0: export the model. If it was trained without token types, list its "
            f"inputs in model_input_names of {TOKENIZER_CONFIG}"
        )

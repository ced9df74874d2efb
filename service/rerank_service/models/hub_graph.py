"""Read the facts about the graph of a hub folder that its other files do not state: precision, and activation."""

from typing import Any

from rerank_service.engine.logits import GraphActivation
from rerank_service.errors import BundleInvalid
from rerank_service.models.files import CONFIG
from rerank_service.models.graph_activation import ending
from rerank_service.models.graph_nodes import load_graph
from rerank_service.models.graph_precision import precisions
from rerank_service.models.hub_folder import HubFolder
from rerank_service.models.variants.weight_check import check_weights


def complete_manifest(folder: HubFolder) -> dict[str, Any]:
    """Return the fields that the manifest of a bundle would have, with those that only the graph states. Blocks.

    Raises:
        BundleInvalid: the graph is damaged, its weights are missing, or its scores would all be equal.
    """
    model = load_graph(folder.graph)
    check_weights(model, folder.graph)
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

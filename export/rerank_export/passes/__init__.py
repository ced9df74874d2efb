"""Passes over a graph: each gives the same logits at less cost, or leaves the graph as it is and says why.

Rule: a pass is believed only when the graph behind it gives the logits of the graph before it.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from rerank_export.errors import one_line
from rerank_export.weights import save
from rerank_service.engine.session import CrossEncoder
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import Batch

if TYPE_CHECKING:
    from rerank_export.passes.one_token import Shortened

TOLERANCE = 1e-5
"""Of a logit, times its size where that is more than 1: another order of sums."""
_WEIGHTS = "weights"


Pass = Callable[[onnx.ModelProto], tuple[onnx.ModelProto | None, str]]
"""Gives the new graph, or None, and what was done, or why nothing was."""


def _first_token(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.passes.first_token import shorten_last_layer

    return _told(shorten_last_layer(model))


def _last_token(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.passes.last_token import shorten_last_layer

    return _told(shorten_last_layer(model))


def _told(shortened: "Shortened") -> tuple[onnx.ModelProto | None, str]:
    if not shortened.matmuls:
        return None, shortened.reason
    return shortened.model, f"{counted(shortened.matmuls, 'matrix product')} for one token"


def _sizes(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.passes.sizes import fold_sizes

    folded, nodes = fold_sizes(model)
    return (folded, f"{counted(nodes, 'operator')} less") if nodes > 0 else (None, "there is nothing to fold")


PASSES: dict[str, Pass] = {
    "fold_sizes": _sizes,
    "first_token_last_layer": _first_token,
    "last_token_last_layer": _last_token,
}
"""In the order in which they run."""


def apply_passes(
    model: onnx.ModelProto, folder: Path, batches: Sequence[Batch], without: Collection[str] = ()
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The graph after all passes, and what each did, by its name. `folder` is room for files; `batches` are what graphs
    are compared on; the passes `without` are left out."""
    folder.mkdir(parents=True)
    save(model, folder / "before.onnx", _WEIGHTS)  # which leaves the graph without its large weights: passes need none
    model = onnx.load(folder / "before.onnx", load_external_data=False)
    expected, notes = _logits(model, folder, batches), {}
    for name, run in PASSES.items():
        changed, notes[name] = (None, "switched off") if name in without else _tried(run, model)
        if changed is not None:
            difference = _difference(_logits_or_nan(changed, folder, batches), expected)
            if difference <= TOLERANCE:
                model = changed
                continue
            notes[name] = f"left as it was: other logits, by {difference:.1e}"
    onnx.load_external_data_for_model(model, str(folder))
    return model, notes


def _tried(run: Pass, model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    try:
        changed, note = run(model)
    except Exception as error:  # noqa: BLE001 - shape inference raises what it likes; the graph is right without it
        return None, f"left as it was: {one_line(error)}"
    return changed, note if changed is not None else f"left as it was: {note}"


def _logits(model: onnx.ModelProto, folder: Path, batches: Sequence[Batch]) -> NDArray[np.float32]:
    path = folder / "tried.onnx"
    onnx.save(model, path)
    session = CrossEncoder(path)
    return np.concatenate([session.score(batch) for batch in batches])


def _logits_or_nan(model: onnx.ModelProto, folder: Path, batches: Sequence[Batch]) -> NDArray[np.float32]:
    try:
        return _logits(model, folder, batches)
    except Exception:  # noqa: BLE001 - a graph that does not run is no better than one that scores otherwise
        return np.full(1, np.nan, np.float32)


def _difference(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest, for its logit's size; NaN where one is."""
    return float(np.max(np.abs(logits - expected) / np.maximum(1.0, np.abs(expected))))

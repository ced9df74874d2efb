"""The list of passes, and the check of each: a pass counts only if the graph after it gives the logits before it."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from rerank_export.errors import one_line
from rerank_export.graph.weight_storage import save_graph
from rerank_service.engine.session import CrossEncoder
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import Batch

if TYPE_CHECKING:
    from rerank_export.graph.passes.last_layer import Shortened

TOLERANCE = 3e-5
"""Largest difference of a logit, relative to its size if that is above 1. Only the order of sums may change: it
moved a logit by 1.1e-5 on an AMD EPYC without AVX-512."""
_WEIGHTS = "weights"

Pass = Callable[[onnx.ModelProto], tuple[onnx.ModelProto | None, str]]
"""Returns the new graph and a note on the change, or None and the reason."""


def _first_token(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.graph.passes.first_token import shorten_last_layer

    return _noted(shorten_last_layer(model))


def _last_token(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.graph.passes.last_token import shorten_last_layer

    return _noted(shorten_last_layer(model))


def _shared_prefix(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.graph.passes.shared_prefix import share_prefixes

    packed = share_prefixes(model)
    if not packed.matmuls:
        return None, packed.reason
    return packed.model, f"{counted(packed.matmuls, 'matrix product')} for each different token"


def _noted(shortened: "Shortened") -> tuple[onnx.ModelProto | None, str]:
    if not shortened.matmuls:
        return None, shortened.reason
    return shortened.model, f"{counted(shortened.matmuls, 'matrix product')} for one token"


def _fold_sizes(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.graph.passes.fold_sizes import fold_sizes

    folded, removed = fold_sizes(model)
    return (folded, f"{counted(removed, 'operator')} removed") if removed > 0 else (None, "no operator can be removed")


def _reshape_sizes(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    from rerank_export.graph.passes.reshape_sizes import write_reshape_sizes

    written, reshapes = write_reshape_sizes(model)
    if not reshapes:
        return None, "no size is computed"
    return written, f"constant sizes for {counted(reshapes, 'Reshape')}"


PASSES: dict[str, Pass] = {
    "fold_sizes": _fold_sizes,
    "first_token_last_layer": _first_token,
    "last_token_last_layer": _last_token,
    "shared_prefix": _shared_prefix,
    "reshape_sizes": _reshape_sizes,
}
"""Passes by name, in the order in which they run."""


def apply_passes(
    model: onnx.ModelProto, folder: Path, batches: Sequence[Batch], without: Collection[str] = ()
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the graph after all passes, and a note for each pass by its name.

    `folder` receives temporary files, `batches` are the inputs that the logits are compared on, and the passes in
    `without` do not run.
    """
    folder.mkdir(parents=True)
    save_graph(model, folder / "before.onnx", _WEIGHTS)
    model = onnx.load(folder / "before.onnx", load_external_data=False)  # passes do not need the large weights
    expected, notes = _logits(model, folder, batches), {}
    for name, run in PASSES.items():
        changed, notes[name] = (None, "disabled") if name in without else _attempted(run, model)
        if changed is not None:
            difference = _difference(_logits_or_nan(changed, folder, batches), expected)
            if difference <= TOLERANCE:
                model = changed
                continue
            notes[name] = f"unchanged: the logits would differ by {difference:.1e}"
    onnx.load_external_data_for_model(model, str(folder))
    return model, notes


def _attempted(run: Pass, model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, str]:
    try:
        changed, note = run(model)
    except Exception as error:  # noqa: BLE001 - shape inference may raise any error; the graph stays valid without it
        return None, f"unchanged: {one_line(error)}"
    return changed, note if changed is not None else f"unchanged: {note}"


def _logits(model: onnx.ModelProto, folder: Path, batches: Sequence[Batch]) -> NDArray[np.float32]:
    path = folder / "attempt.onnx"
    onnx.save(model, path)
    session = CrossEncoder(path)
    return np.concatenate([session.score(batch) for batch in batches])


def _logits_or_nan(model: onnx.ModelProto, folder: Path, batches: Sequence[Batch]) -> NDArray[np.float32]:
    try:
        return _logits(model, folder, batches)
    except Exception:  # noqa: BLE001 - a graph that does not run is rejected like one with other logits
        return np.full(1, np.nan, np.float32)


def _difference(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference, relative to its logit's size if that is above 1; NaN if a logit is NaN."""
    return float(np.max(np.abs(logits - expected) / np.maximum(1.0, np.abs(expected))))

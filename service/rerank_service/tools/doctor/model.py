"""Checks of a model: its files, the engine that a start would choose, its memory, and its golden pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.installation import command_name
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import STARTER
from rerank_service.models.golden_check import check_golden
from rerank_service.models.golden_pairs import read_golden_pairs
from rerank_service.models.loading import SelectedModel, select_model
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.startup import runnable_request
from rerank_service.quantities import counted
from rerank_service.tools.doctor.finding import Finding, ok, slow


def model_findings(
    name: str, options: ModelOptions, limits: Sequence[MemoryLimit], *, loads: bool, runs_here: bool = False
) -> Iterator[Finding]:
    """Yield the state of the files, the engine of the next start, and the memory.

    `runs_here`: a server with these settings has taken its memory already, so the next start has the whole limit.
    `loads`: load the model and score its golden pairs, if the memory that is left allows it.

    Raises:
        BundleInvalid: it cannot be served, or scores its golden pairs differently.
        MemoryTooSmall: its weights exceed a memory limit.
    """
    selected = select_model(options)
    bundle = selected.bundle
    yield _files(name, bundle)
    yield _engine(name, selected)
    selected.check_memory(limits)
    if selected.may_exceed([replace(each, left=each.limit) for each in limits] if runs_here else limits):
        yield slow(
            name,
            f"the model may need more memory than the limit {'allows' if runs_here else 'leaves now'}",
            "raise the memory limit, or set fewer --lanes, or serve a smaller model",
        )
    yield _golden_pairs(name, selected, loads=loads and not selected.may_exceed(limits))


def _files(name: str, bundle: Bundle) -> Finding:
    shown = "the starter model" if bundle.folder == STARTER else str(bundle.folder)
    if not bundle.digest:
        return ok(name, f"{shown} is a hub folder: its files have no digests to verify")
    details = f"digest {bundle.digest}, folder {bundle.folder}"
    return ok(name, f"{shown} is verified, export {bundle.verdict}", details=details)


def _engine(name: str, selected: SelectedModel) -> Finding:
    selection, lanes = selected.selection, counted(selected.lanes, "lane")
    text = f"engine {selection.engine} with {lanes}: {selection.reason}"
    request = runnable_request(selected.bundle, selected.options.requested)
    if request.is_open and (selection.tuned is None or selection.tuned.provisional):
        fix = f"run `{command_name()} tune` with these settings, or let the server tune: it may find a faster engine"
        return slow(name, text, fix)
    return ok(name, text)


def _golden_pairs(name: str, selected: SelectedModel, *, loads: bool) -> Finding:
    count = len(read_golden_pairs(selected.bundle))
    pairs = counted(count, "golden pair") if count else "no golden pairs"
    if not loads:
        return ok(name, f"not loaded; {pairs}")
    difference = _loaded_difference(selected)
    scored = "" if difference is None else f" scored, largest difference of a logit {difference:.1e}"
    return ok(name, f"loaded; {pairs}{scored}")


def _loaded_difference(selected: SelectedModel) -> float | None:
    """Load the model, score its golden pairs, and return the largest difference of a logit; None without pairs."""
    model = selected.load()
    try:
        return check_golden(model)
    finally:
        model.scheduler.close()

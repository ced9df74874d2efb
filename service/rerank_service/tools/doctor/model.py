"""Checks of a model: its files, the engine that a start would choose, its memory, and its golden pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.installation import command_name
from rerank_service.models.bundle import Bundle
from rerank_service.models.files import STARTER
from rerank_service.models.golden_check import check_golden
from rerank_service.models.golden_pairs import read_golden_pairs
from rerank_service.models.loading import SelectedModel
from rerank_service.models.tuning.startup import runnable_request
from rerank_service.quantities import counted
from rerank_service.tools.doctor.finding import Finding, ok, slow

_MB = 10**6


def model_findings(
    name: str, selected: SelectedModel, limits: Sequence[MemoryLimit], *, loads: bool, runs_here: bool = False
) -> Iterator[Finding]:
    """Yield the state of the files, the engine of the next start, and the memory.

    `runs_here`: a server with these settings has taken its memory already, so the next start has the whole limit.
    `loads`: load the model and score its golden pairs, if the memory that is left allows it.

    Raises:
        BundleInvalid: it cannot be served, or scores its golden pairs differently.
        MemoryTooSmall: its weights exceed a memory limit.
    """
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


def together_findings(started: Sequence[SelectedModel], limits: Sequence[MemoryLimit]) -> Iterator[Finding]:
    """Yield a finding if the models that are loaded at the start may need more memory together than a limit allows.

    They are loaded one after the other: the memory that one of them takes only while it is loaded is free for the next.
    """
    limit = min((each.limit for each in limits), default=None)
    if limit is None or len(started) < 2:
        return
    needs = [each.memory_need for each in started]
    needed = sum(each.kept for each in needs) + max(each.peak - each.kept for each in needs)
    if needed > limit:
        yield slow(
            "models",
            f"the {len(started)} models that are loaded at the start may need {needed // _MB:,} MB together, and the "
            f"memory limit is {limit // _MB:,} MB",
            "raise the memory limit, or set fewer --lanes, or load: on_demand for some models, or serve fewer models",
        )


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
    model = selected.load()
    try:
        difference = check_golden(model)
    finally:
        model.scheduler.close()
    scored = "" if difference is None else f" scored, largest difference of a logit {difference:.1e}"
    if model.info.reason != selected.selection.reason:  # `load` has chosen another engine
        fix = f"run `{command_name()} tune` with these settings"
        return slow(name, f"loaded on {model.encoder.engine}, because {model.info.explanation}", fix)
    return ok(name, f"loaded; {pairs}{scored}")

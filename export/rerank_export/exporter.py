"""START HERE. The steps of an export: validate -> fetch -> inspect -> fetch weights -> build -> verify -> publish."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rerank_export.bundle.bundle_builder import BuiltBundle, build_bundle
from rerank_export.bundle.output_folder import work_folder
from rerank_export.bundle.publication import publish
from rerank_export.errors import ExportFailed, is_disk_full
from rerank_export.export_request import ExportRequest
from rerank_export.gate.verification import GateSubject, VerifiedBundle, verify
from rerank_export.inspection import InspectedModel, inspect_model, notices
from rerank_export.library_output import silence_libraries
from rerank_export.reporter import PRINTED, Reporter
from rerank_export.scoring.pair_format_check import missing_begin
from rerank_export.source.model_source import ModelSource, fetch, fetch_weights
from rerank_export.threads import limit_threads
from rerank_export.validation import ExportPlan, validate
from rerank_service.engine.host import cores
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.models.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export."""

    bundle: Bundle
    """The bundle in its place."""
    verified: VerifiedBundle
    """The comparison with PyTorch. Its folder was moved to that place."""


def export(request: ExportRequest, reporter: Reporter = PRINTED) -> Exported:
    """Export a model to a bundle. If a step fails, `request.out` is as it was before.

    Raises:
        ExportFailed: the message is one line with the cause and the next step.
    """
    with _system_errors_as_export_failed(request.out):
        limit_threads(cores())
        plan = validate(request)
        source = _fetch(plan, reporter)
        with silence_libraries(), work_folder(plan.output) as work, _work_folder_unnamed(work):
            model = _inspect(source, plan, reporter)
            _fetch_weights(source, reporter)
            built = _build(model, plan, work, reporter)
            verified = _verify(built, model, plan, reporter)
            return Exported(publish(verified, plan.output), verified)


def _fetch(plan: ExportPlan, reporter: Reporter) -> ModelSource:
    request = plan.request
    reporter.status(f"fetching {request.model}")
    source = fetch(request.model, request.revision, trusted=request.trust_remote_code)
    if source.folder.resolve().is_relative_to(plan.output.target):
        raise ExportFailed(
            f"{request.model} lies inside the output folder {request.out} and would be deleted: choose another folder"
        )
    return source


def _inspect(source: ModelSource, plan: ExportPlan, reporter: Reporter) -> InspectedModel:
    model = inspect_model(source, plan.request.scoring)
    for notice in notices(model.scoring):
        reporter.status(notice)
    return model


def _fetch_weights(source: ModelSource, reporter: Reporter) -> None:
    """Fetch the weights, gigabytes perhaps, of a model that can be exported."""
    fetch_weights(source)
    if source.revision:
        reporter.status(f"fetched commit {source.revision}")


def _build(model: InspectedModel, plan: ExportPlan, work: Path, reporter: Reporter) -> BuiltBundle:
    reporter.status("exporting the graph (several minutes for a large model)")
    built = build_bundle(
        model, work, name=plan.name, precisions=plan.precisions, without_passes=plan.request.without_passes
    )
    template = model.scoring.template
    if template and (begin := missing_begin(template, built.bundle.tokenizer)):
        reporter.status(
            f"the template does not begin with {begin}, as other texts of this tokenizer do: is it complete?"
        )
    return built


def _verify(built: BuiltBundle, model: InspectedModel, plan: ExportPlan, reporter: Reporter) -> VerifiedBundle:
    reporter.status("comparing with transformers")
    return verify(
        GateSubject(
            bundle=built.bundle,
            rounded=built.rounded,
            source=model.source,
            scoring=model.scoring,
            precisions=plan.precisions,
            parity_set=plan.parity_set,
            allow_drift=plan.request.gate.allow_drift,
            reporter=reporter,
        )
    )


@contextmanager
def _system_errors_as_export_failed(out: Path) -> Iterator[None]:
    """Raise file errors and invalid model files as ExportFailed."""
    try:
        yield
    except (OSError, BundleInvalid) as error:
        raise ExportFailed(_no_space(out) if is_disk_full(error) else str(error)) from error


def _no_space(out: Path) -> str:
    return (
        f"no space left on the disk of the output folder {out}, and nothing was written: an export needs about three "
        "times the size of the weights in fp32"
    )


@contextmanager
def _work_folder_unnamed(work: Path) -> Iterator[None]:
    """Name files in the work folder by their name only: the folder is removed before the message is read."""
    try:
        yield
    except BundleInvalid as error:
        raise ExportFailed(_unnamed(error, work)) from error
    except InvalidRequest as error:
        raise ExportFailed(
            f"the window is too small for the built-in pairs of the comparison: {_unnamed(error, work)}"
        ) from error


def _unnamed(error: Exception, work: Path) -> str:
    return str(error).replace(f"{work}/bundle/", "")

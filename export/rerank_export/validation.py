"""The first step of an export: check all options before anything is fetched."""

from dataclasses import dataclass

from rerank_export.bundle.output_folder import OutputFolder, check_output
from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.gate.parity_set import ParitySet, read_parity_set
from rerank_export.graph.passes.pass_runner import PASSES
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.variants.precisions import parse_precisions
from rerank_service.error_text import excerpt
from rerank_service.model_names import is_model_name
from rerank_service.models.token_limits import MIN_TOKENS

_MAX_NAME_CHARS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """A valid request, with its options parsed."""

    request: ExportRequest
    precisions: frozenset[str]
    output: OutputFolder
    parity_set: ParitySet

    @property
    def name(self) -> str:
        """The name of the model where it is served."""
        return self.request.name or self.output.target.name


def validate(request: ExportRequest) -> ExportPlan:
    """Check the options, the output folder and the parity set.

    Raises:
        ExportFailed: an option is invalid; the message names it.
    """
    precisions = parse_precisions(request.precisions)
    _check_name(request.name)
    _check_passes(request.without_passes)
    _check_max_tokens(request.scoring.max_tokens)
    _check_prompt(request.scoring)
    output = check_output(request.out)
    _check_folder_name(request, output)
    return ExportPlan(
        request=request,
        precisions=precisions,
        output=output,
        parity_set=read_parity_set(request.gate.parity, request.gate.queries),
    )


def _check_name(name: str | None) -> None:
    if name is not None and not is_model_name(name, _MAX_NAME_CHARS):
        raise ExportFailed(
            f"--name {excerpt(name)!r}: give 1 to {_MAX_NAME_CHARS} printable characters, without spaces at the ends"
        )


def _check_folder_name(request: ExportRequest, output: OutputFolder) -> None:
    """Check the name of the output folder, if the model gets it."""
    if request.name is None and not is_model_name(output.target.name, _MAX_NAME_CHARS):
        raise ExportFailed(
            f"the name of the output folder, {excerpt(output.target.name)!r}, is no name of a model: set --name to 1 "
            f"to {_MAX_NAME_CHARS} printable characters, without spaces at the ends"
        )


def _check_passes(names: frozenset[str]) -> None:
    if unknown := sorted(names - PASSES.keys()):
        raise ExportFailed(f"--no-pass: unknown {', '.join(unknown)}; choose from {', '.join(PASSES)}")


def _check_max_tokens(max_tokens: int | None) -> None:
    if max_tokens is not None and max_tokens < MIN_TOKENS:
        raise ExportFailed(
            f"--max-tokens {max_tokens} is too small: set at least {MIN_TOKENS} tokens, the least for a pair"
        )


def _check_prompt(options: ScoringOptions) -> None:
    """Reject empty options, such as those from an unset variable of a script: the model would get another prompt."""
    for flag, value in (("--template", options.template), ("--instruction", options.instruction)):
        if value is not None and not value.strip():
            raise ExportFailed(f"{flag} is empty: give a value, or leave {flag} out for that of the model")

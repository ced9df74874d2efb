"""The flow of an export: fetch, export, store, compare, and only then put the bundle where it was asked for."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed, is_disk_full
from rerank_export.gate.parity_set import read_parity_set
from rerank_export.graph import OPSET, export_graph
from rerank_export.out import check_out, replace, work_folder
from rerank_export.parity import sample, versions
from rerank_export.passes import PASSES, apply_passes
from rerank_export.quiet import quiet
from rerank_export.scoring import Scoring, Wishes, scoring_of
from rerank_export.source import Source, fetch, read_config
from rerank_export.tokenizer import write_tokenizer
from rerank_export.variants import FP32, chosen
from rerank_export.verify import Checks, Verified, verify
from rerank_export.weight_files import check_weights
from rerank_export.weights import halve_weights, save
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.models.bundle import Bundle, Manifest, Variant, open_bundle, write_manifest
from rerank_service.models.files import CONFIG, GRAPH, MIN_TOKENS, REPORT, TOKENIZER, WEIGHTS
from rerank_service.models.hub_config import check_lower_case, window
from rerank_service.ranking.scores import Activation

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that is where it was asked for."""

    bundle: Bundle
    verified: Verified


def export(
    model: str,
    out: Path,
    *,
    revision: str | None = None,
    trusted: bool = False,
    name: str | None = None,
    wishes: Wishes | None = None,
    precisions: str = FP32,
    checks: Checks | None = None,
    say: Say = print,
) -> Exported:
    """Make a bundle of a hub id or a folder. `wishes` overrule what its files and its family's recipe say; code among
    the files is run only if they are `trusted`. `precisions` are those that it holds graphs for, and `checks` say how
    they are compared with the source.

    Nothing is left at `out` unless all went well; a bundle that is there already is replaced.

    Raises:
        ExportFailed: it cannot be done, and why.
    """
    wishes, wanted, checks = wishes or Wishes(), chosen(precisions), checks or Checks()
    if unknown := sorted(wishes.without_passes - PASSES.keys()):
        raise ExportFailed(f"there is no pass {', '.join(unknown)}; there are {', '.join(PASSES)}")
    if wishes.max_tokens is not None and wishes.max_tokens < MIN_TOKENS:
        raise ExportFailed(f"--max-tokens {wishes.max_tokens} is too few: a pair needs {MIN_TOKENS}")
    try:
        target = out.resolve()  # "." has no name, and a link is not to be replaced by what it leads to
    except (OSError, RuntimeError) as error:
        raise ExportFailed(f"{out} leads nowhere, as a link to itself does: choose another OUT") from error
    try:
        there = check_out(target, out)
        parity_set = read_parity_set(checks.parity, checks.queries)
        say(f"fetching {model}")
        source = fetch(model, revision, trusted=trusted)
        if source.folder.resolve().is_relative_to(target):
            raise ExportFailed(f"{model} lies in {out}, and would be lost when that is replaced: choose another OUT")
        if source.revision:
            say(f"fetched commit {source.revision}")
        with quiet():
            config = read_config(source)
            scoring = scoring_of(source, config, wishes)
            check_weights(source.folder, source.id)
            _say_how(scoring, say)
            with work_folder(target, there) as work, _told_without(work):
                made = work / "bundle"
                manifest = _manifest(source, config, scoring, name or target.name)
                exported, rounded = _make(source, scoring, made, manifest, wishes, wanted, say)
                say("comparing with transformers")
                verified = verify(
                    exported, source, scoring, wanted, parity_set, rounded=rounded, allow_drift=checks.allow_drift
                )
                (made / REPORT).write_text(json.dumps(verified.report, indent=2, ensure_ascii=False) + "\n")
                write_manifest(made, verified.manifest)
                bundle = open_bundle(made)
                replace(made, target)
    except (OSError, BundleInvalid) as error:
        raise ExportFailed(_no_space(out) if is_disk_full(error) else str(error)) from error
    return Exported(Bundle(out, bundle.manifest), verified)


@contextmanager
def _told_without(work: Path) -> Iterator[None]:
    """What is wrong with files in a folder that is gone when this is read, by their names."""
    try:
        yield
    except (BundleInvalid, InvalidRequest) as error:
        told = str(error).replace(f"{work}/bundle/", "")
        if isinstance(error, InvalidRequest):
            told = f"the window is too small for the pairs that bundles are compared on: {told}"
        raise ExportFailed(told) from error


def _no_space(out: Path) -> str:
    return (
        f"there is no space left where {out} was to be made, and nothing was left there: the work takes about three "
        "times the size of the weights in fp32"
    )


def _say_how(scoring: Scoring, say: Say) -> None:
    """What a person should look at, since it decides what scores mean."""
    if scoring.template:
        say(f"pairs are written by {scoring.why}")
    elif scoring.decoder:
        say(
            "no template is known for this decoder: pairs are laid out as its tokenizer does (--template gives another)"
        )
    if scoring.activation is Activation.IDENTITY:
        say("relevance scores are the logits themselves, as --activation says")
    elif scoring.configured is Activation.IDENTITY:
        say(
            "its files leave logits as they are; scores are their sigmoids all the same (--activation identity: logits)"
        )


def _make(
    source: Source,
    scoring: Scoring,
    made: Path,
    manifest: Manifest,
    wishes: Wishes,
    precisions: frozenset[str],
    say: Say,
) -> tuple[Bundle, bool]:
    """The folder with its reference graph, and whether that graph's weights were rounded to fp16."""
    made.mkdir()
    write_tokenizer(source, made / TOKENIZER)
    check_lower_case(source.folder, made / TOKENIZER)
    shutil.copyfile(source.folder / CONFIG, made / CONFIG)
    say("exporting the graph (of a large model: for minutes)")
    batches = sample(Bundle(made, manifest))
    graph = export_graph(source, scoring, made.with_name("exported"))
    graph, passes = apply_passes(graph, made.with_name("passes"), batches, wishes.without_passes)
    exact = halve_weights(graph)
    rounded = not exact and FP32 not in precisions
    halved = exact or (rounded and halve_weights(graph, rounded=True))
    variant = Variant(file=GRAPH, precision="fp32", weights="fp16" if halved else "fp32")
    save(graph, made / GRAPH, WEIGHTS)
    recipe = manifest.recipe | {"passes": passes}
    return Bundle(made, manifest.model_copy(update={"variants": (variant,), "recipe": recipe})), rounded


def _manifest(source: Source, config: dict[str, Any], scoring: Scoring, name: str) -> Manifest:
    """All that can be said before there is a graph."""
    most = window(source.folder, config)
    return Manifest(
        name=name,
        source=source.id,
        revision=source.revision,
        architecture=config["architectures"][0],
        max_tokens=min(most, scoring.max_tokens or most),
        pad_id=config.get("pad_token_id") or 0,
        activation=scoring.activation,
        template=scoring.template,
        variants=(Variant(file=GRAPH, precision="fp32", weights="fp32"),),
        files={},
        recipe=_recipe(scoring),
    )


def _recipe(scoring: Scoring) -> dict[str, Any]:
    made = {"task": scoring.task, "rows": scoring.rows, "opset": OPSET, "versions": versions()}
    return made | ({"configured_activation": scoring.configured.value} if scoring.configured else {})

"""The flow of an export: fetch, export, store, compare, and only then put the bundle where it was asked for."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed, is_disk_full
from rerank_export.graph import OPSET, export_graph
from rerank_export.out import check_out, replace
from rerank_export.parity import Parity, compare, sample, versions
from rerank_export.passes import PASSES, apply_passes
from rerank_export.quiet import quiet
from rerank_export.scoring import Scoring, Wishes, scoring_of
from rerank_export.source import Source, fetch, read_config
from rerank_export.tokenizer import write_tokenizer
from rerank_export.weight_files import check_weights
from rerank_export.weights import halve_weights, save
from rerank_service.bundle import Bundle, Manifest, Variant, open_bundle, write_manifest
from rerank_service.errors import BundleInvalid
from rerank_service.hub_config import window
from rerank_service.model_files import CONFIG, GRAPH, MIN_TOKENS, REPORT, TOKENIZER, WEIGHTS
from rerank_service.ranking import Activation

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that is where it was asked for."""

    bundle: Bundle
    parity: Parity


def export(
    model: str,
    out: Path,
    *,
    revision: str | None = None,
    trusted: bool = False,
    name: str | None = None,
    wishes: Wishes | None = None,
    say: Say = print,
) -> Exported:
    """Make a bundle of a hub id or a folder. `wishes` overrule what its files and its family's recipe say; code among
    the files is run only if they are `trusted`.

    Nothing is left at `out` unless all went well; a bundle that is there already is replaced.

    Raises:
        ExportFailed: it cannot be done, and why.
    """
    wishes = wishes or Wishes()
    if unknown := sorted(wishes.without_passes - PASSES.keys()):
        raise ExportFailed(f"there is no pass {', '.join(unknown)}; there are {', '.join(PASSES)}")
    if wishes.max_tokens is not None and wishes.max_tokens < MIN_TOKENS:
        raise ExportFailed(f"--max-tokens {wishes.max_tokens} is too few: a pair needs {MIN_TOKENS}")
    target = out.resolve()  # "." has no name, and a link is not to be replaced by what it leads to
    try:
        there = check_out(target, out)
        say(f"fetching {model}")
        source = fetch(model, revision, trusted=trusted)
        if source.revision:
            say(f"fetched commit {source.revision}")
        with quiet():
            config = read_config(source)
            scoring = scoring_of(source, config, wishes)
            check_weights(source.folder, source.id)
            _say_how(scoring, say)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=there) as work:
                made = Path(work) / "bundle"
                manifest = _manifest(source, config, scoring, name or target.name)
                parity = _make(source, scoring, made, manifest, wishes, say)
                bundle = open_bundle(made)
                replace(made, target)
    except (OSError, BundleInvalid) as error:
        raise ExportFailed(_no_space(out) if is_disk_full(error) else str(error)) from error
    return Exported(Bundle(out, bundle.manifest), parity)


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


def _make(source: Source, scoring: Scoring, made: Path, manifest: Manifest, wishes: Wishes, say: Say) -> Parity:
    made.mkdir()
    write_tokenizer(source, made / TOKENIZER)
    shutil.copyfile(source.folder / CONFIG, made / CONFIG)
    say("exporting the graph (of a large model: for minutes)")
    batches = sample(Bundle(made, manifest))
    graph = export_graph(source, scoring, made.with_name("exported"))
    graph, passes = apply_passes(graph, made.with_name("passes"), batches, wishes.without_passes)
    variant = Variant(file=GRAPH, precision="fp32", weights="fp16" if halve_weights(graph) else "fp32")
    save(graph, made / GRAPH, WEIGHTS)
    del graph  # of a large model, gigabytes
    recipe = manifest.recipe | {"passes": passes}
    manifest = manifest.model_copy(update={"variants": (variant,), "recipe": recipe})
    say("comparing with transformers")
    parity = compare(Bundle(made, manifest), source, scoring)
    if not parity.holds:
        raise ExportFailed(
            f"{source.id}: the exported graph does not score as the model does: logits differ by up to "
            f"{parity.max_difference:.1e} (pair {parity.worst_pair}), and by {parity.max_batch_difference:.1e} with "
            f"the batch; {parity.tolerance:.0e} is allowed. No bundle was written"
        )
    (made / REPORT).write_text(json.dumps(parity.report(), indent=2) + "\n")
    write_manifest(made, manifest)
    return parity


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

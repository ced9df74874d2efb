"""`rerank calibrate`: make a bundle's scores mean something on labels."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command, positive
from rerank_service.installation import command_name
from rerank_service.quantities import rounded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rerank_service.models.bundle import Bundle
    from rerank_service.tools.calibration.calibrate import CalibrationResult
    from rerank_service.tools.calibration.labels_file import LabelledQuery


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", type=Path, metavar="FOLDER", required=True, help="the model's folder")
    add("--labels", type=Path, metavar="FILE", required=True, help="judged documents, JSONL (docs/evaluation.md)")
    add("--method", choices=("auto", "platt", "isotonic"), default="auto", help="the curve (default: %(default)s)")
    meaning = parser.add_mutually_exclusive_group()
    meaning.add_argument("--graded", action="store_true", help="labels are grades: make scores an even scale of them")
    meaning.add_argument("--relevant-from", type=int, metavar="N", help="labels are grades: relevant is N and above")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--in-place", action="store_true", help="keep it in the bundle itself (the default)")
    where.add_argument("--out", type=Path, metavar="FOLDER", help="keep it in a copy of the bundle")
    where.add_argument("--dry-run", action="store_true", help="keep nothing")
    add("--picture", type=Path, metavar="FILE", help="reliability diagram (default: <model>-reliability.png)")
    add("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    add("--max-tokens-per-doc", type=positive, metavar="N", help="cut each document to so many tokens")


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_service.cli.output.calibration import grades_table, quality_table
    from rerank_service.models.bundle import open_bundle
    from rerank_service.tools.calibration.bundle_update import check_output_folder
    from rerank_service.tools.calibration.calibrate import calibrate, check_installed
    from rerank_service.tools.calibration.calibration_report import calibration_report
    from rerank_service.tools.calibration.reliability_plot import draw_reliability

    check_installed()
    if arguments.out is not None:
        check_output_folder(arguments.out)
    bundle = open_bundle(arguments.model)
    labelled = _labelled(arguments)
    found = calibrate(
        labelled,
        asyncio.run(_logits(arguments, labelled)),
        graded=arguments.graded,
        activation=bundle.manifest.activation,
        method=None if arguments.method == "auto" else arguments.method,
    )
    console = Console()
    console.print(quality_table(found))
    console.print(grades_table(found))
    console.print(_keep(arguments, bundle, found), highlight=False, markup=False, soft_wrap=True)
    picture = arguments.picture or Path(f"{(arguments.out or arguments.model).resolve()}-reliability.png")
    draw_reliability(found, picture)
    console.print(f"picture: {picture}", highlight=False, markup=False, soft_wrap=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(calibration_report(found), indent=2) + "\n")
    return 0


def _labelled(arguments: argparse.Namespace) -> "list[LabelledQuery]":
    from rerank_service.tools.calibration.labels_file import binary_labels, check_enough_labels, read_labels

    labelled = read_labels(arguments.labels)
    if not arguments.graded:
        labelled = binary_labels(labelled, arguments.relevant_from)
    check_enough_labels(labelled, arguments.labels)
    return labelled


async def _logits(arguments: argparse.Namespace, labelled: "list[LabelledQuery]") -> "list[NDArray[np.float32]]":
    from rerank_service.errors import FileInvalid
    from rerank_service.progress import progress
    from rerank_service.settings import read_settings
    from rerank_service.tools.offline_scoring import Refusal, Task, local_scorer, score_all
    from rerank_service.wiring import model_options, request_limits

    tasks = [Task(one.places[0], one.query, one.documents) for one in labelled]
    settings = read_settings(model=arguments.model)
    options = model_options(settings)
    async with local_scorer(
        options, request_limits(settings), max_tokens_per_doc=arguments.max_tokens_per_doc
    ) as scorer:
        with progress("scoring labels", sum(len(task.documents) for task in tasks)) as scored:
            logits = []
            for task, found in zip(tasks, await score_all(scorer, tasks, scored), strict=True):
                if isinstance(found, Refusal):
                    raise FileInvalid(f"{task.place}: {found.message}")
                logits.append(found.logits)
            return logits


def _keep(arguments: argparse.Namespace, bundle: "Bundle", found: "CalibrationResult") -> str:
    from rerank_service.tools.calibration.bundle_update import update_copy, update_in_place

    numbers = found.calibration.curve.model_dump(exclude={"method"})
    curve = f"{found.calibration}: {', '.join(f'{name} {_figures(value)}' for name, value in numbers.items())}"
    if arguments.dry_run:
        return f"not kept: {_short(curve)}"
    if arguments.out is not None:
        kept = update_copy(bundle, found, arguments.labels, arguments.out)
    else:
        kept = update_in_place(bundle, found, arguments.labels)
    return f"kept in {kept.folder}: {_short(curve)}"


def _figures(value: "float | tuple[float, ...]") -> str:
    return f"({', '.join(map(rounded, value))})" if isinstance(value, tuple) else rounded(value)


def _short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


COMMAND = Command(
    help="calibrate a model's scores on labels",
    description="Fit how a model's logits become scores, so that a score is the probability that a document is "
    "relevant, or with --graded its grade on an even scale from 0 to 1, on the labels given; keep it in the bundle. "
    f"The order of results never changes. For example: {command_name()} calibrate --model out/my-model "
    "--labels labels.jsonl",
    configure=_configure,
    run=_run,
    renamed={"--bundle": "--model"},
)

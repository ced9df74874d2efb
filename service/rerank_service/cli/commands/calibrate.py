"""`rerank calibrate`: fit the scores of a bundle to labelled documents."""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.cli.commands import Command, positive
from rerank_service.cli.model_errors import named_model
from rerank_service.cli.output_file import check_outside_models, check_writable, named_in_errors, write_text
from rerank_service.cli.standard_output import write_then_print
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
    add("--model", type=Path, metavar="FOLDER", required=True, help="bundle to calibrate, or starter")
    add(
        "--labels",
        type=Path,
        metavar="FILE",
        required=True,
        help="JSONL file with labelled documents; docs/evaluation.md describes it",
    )
    add(
        "--method",
        choices=("auto", "platt", "isotonic"),
        default="auto",
        help="type of the calibration curve; auto compares both (default: %(default)s)",
    )
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument(
        "--graded", action="store_true", help="labels are grades: scores become grades on an even scale from 0 to 1"
    )
    labels.add_argument(
        "--relevant-from", type=int, metavar="N", help="labels are grades: documents of grade N or higher are relevant"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--in-place", action="store_true", help="save the curve in the bundle (the default)")
    target.add_argument("--out", type=Path, metavar="FOLDER", help="save the curve in a copy of the bundle")
    target.add_argument("--dry-run", action="store_true", help="save nothing")
    add(
        "--picture",
        type=Path,
        metavar="FILE",
        help="file for the reliability diagram (default: <model>-reliability.png)",
    )
    add("--json", type=Path, metavar="FILE", help="write all figures to a JSON file")
    add(
        "--max-tokens-per-doc",
        type=positive,
        metavar="N",
        help="token limit per document (default: RERANK_DOCUMENT_TOKENS, else 8192)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.models.bundle import open_bundle
    from rerank_service.models.files import model_folder
    from rerank_service.tools.calibration.calibrate import calibrate
    from rerank_service.tools.extra_packages import MATPLOTLIB, check_extra

    check_extra("calibrate", MATPLOTLIB | {"scikit-learn": "sklearn"})
    arguments.model = model_folder(arguments.model)
    with named_model(arguments.model, has_variable=False):
        bundle = open_bundle(arguments.model)
    picture = arguments.picture or Path(f"{os.path.realpath(arguments.out or bundle.folder)}-reliability.png")
    _check_output(arguments, bundle.folder, picture)
    labelled, digest = _labelled(arguments)
    with named_model(arguments.model, has_variable=False):
        logits = asyncio.run(_logits(arguments, labelled))
    calibrated = calibrate(
        labelled,
        logits,
        graded=arguments.graded,
        activation=bundle.manifest.activation,
        method=None if arguments.method == "auto" else arguments.method,
    )
    saved: list[Bundle] = []
    drawn: list[Path] = []

    def save() -> None:
        if not arguments.dry_run:
            saved.append(_save(arguments, bundle, calibrated, digest))

    def draw() -> None:
        _draw(calibrated, picture)
        drawn.append(picture)

    write_then_print((lambda: _write_json(arguments, calibrated), save, draw), lambda: _print(calibrated, saved, drawn))
    return 0


def _check_output(arguments: argparse.Namespace, model: Path, picture: Path) -> None:
    """Check what will be written, before minutes of work for its content. `model` is the folder that is calibrated."""
    from rerank_service.tools.calibration.bundle_update import check_folder_writable, check_output_folder

    out: Path | None = arguments.out
    if out is not None:
        check_output_folder(out)
        check_outside_models(out, [model])
    if not arguments.dry_run:
        check_folder_writable(model if out is None else Path(os.path.realpath(out)).parent)
    folders = [model] if out is None else [model, out]
    check_writable(arguments.json, picture, make_folders=True, models=folders)  # the folder of --out may be made later


def _write_json(arguments: argparse.Namespace, calibrated: "CalibrationResult") -> None:
    from rerank_service.tools.calibration.calibration_report import calibration_report

    if arguments.json is not None:
        write_text(arguments.json, json.dumps(calibration_report(calibrated), indent=2) + "\n")


def _draw(calibrated: "CalibrationResult", picture: Path) -> None:
    from rerank_service.tools.calibration.reliability_plot import draw_reliability

    with named_in_errors(picture):
        draw_reliability(calibrated, picture)


def _print(calibrated: "CalibrationResult", saved: "list[Bundle]", drawn: list[Path]) -> None:
    """Print the figures, the curve, and the places where it was saved and drawn."""
    from rerank_service.cli.output.calibration import grades_table, quality_table
    from rerank_service.cli.output.console import output_console, print_table

    console = output_console()
    print_table(console, quality_table(calibrated))
    print_table(console, grades_table(calibrated))
    place = f"saved in {saved[0].folder}" if saved else "not saved"
    for line in (f"{place}: {_curve(calibrated)}", *(f"picture: {picture}" for picture in drawn)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _labelled(arguments: argparse.Namespace) -> "tuple[list[LabelledQuery], str]":
    """Return the labels, and the sha256 of their file."""
    from rerank_service.tools.calibration.labels_file import binary_labels, check_enough_labels, read_labels

    labels = read_labels(arguments.labels)
    labelled = labels.queries if arguments.graded else binary_labels(labels.queries, arguments.relevant_from)
    check_enough_labels(labelled, arguments.labels)
    return labelled, labels.sha256


async def _logits(arguments: argparse.Namespace, labelled: "list[LabelledQuery]") -> "list[NDArray[np.float32]]":
    from rerank_service.errors import FileInvalid
    from rerank_service.progress import progress
    from rerank_service.settings import read_settings
    from rerank_service.tools.offline_scoring import Refusal, Task, local_scorer, score_all
    from rerank_service.wiring import request_limits, single_model_options

    tasks = [Task(query.places[0], query.query, query.documents) for query in labelled]
    settings = read_settings(model=arguments.model)
    options = single_model_options(settings)
    async with local_scorer(
        options, request_limits(settings), max_tokens_per_doc=arguments.max_tokens_per_doc
    ) as scorer:
        with progress("scoring labels", sum(len(task.documents) for task in tasks)) as scored:
            logits = []
            for task, result in zip(tasks, await score_all(scorer, tasks, scored), strict=True):
                if isinstance(result, Refusal):
                    raise FileInvalid(f"{task.place}: {result.message}")
                logits.append(result.logits)
            return logits


def _save(
    arguments: argparse.Namespace, bundle: "Bundle", calibrated: "CalibrationResult", labels_sha256: str
) -> "Bundle":
    """Save the curve, and return the bundle with it."""
    from rerank_service.tools.calibration.bundle_update import update_copy, update_in_place

    if arguments.out is not None:
        return update_copy(bundle, calibrated, labels_sha256, arguments.out)
    return update_in_place(bundle, calibrated, labels_sha256)


def _curve(calibrated: "CalibrationResult") -> str:
    """Return the curve with its numbers, as the tables have them."""
    numbers = calibrated.calibration.curve.model_dump(exclude={"method"})
    return _short(
        f"{calibrated.calibration}: {', '.join(f'{name} {_figures(value)}' for name, value in numbers.items())}"
    )


def _figures(value: "float | tuple[float, ...]") -> str:
    return f"({', '.join(map(rounded, value))})" if isinstance(value, tuple) else rounded(value)


def _short(text: str, max_chars: int = 120) -> str:
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"


COMMAND = Command(
    help="fit the scores of a bundle to labelled documents",
    description="Fit a curve from logits to scores on labelled documents, and save it in the bundle. A score then is "
    "the probability that a document is relevant, or with --graded its grade on an even scale from 0 to 1. The "
    "order of results does not change.",
    examples=(
        ("labels 0 and 1", f"{command_name()} calibrate --model out/my-model --labels labels.jsonl"),
        (
            "grades, without saving the curve",
            f"{command_name()} calibrate --model out/my-model --labels grades.jsonl --graded --dry-run",
        ),
    ),
    configure=_configure,
    run=_run,
    renamed={"--bundle": "--model"},
)

"""`rerank tune`: find out what runs a model best on this machine, and keep it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_service.cli.commands import Command
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.installation import command_name
from rerank_service.quantities import counted

if TYPE_CHECKING:
    from rich.console import Console

    from rerank_service.models.model_options import ModelOptions
    from rerank_service.models.tuning.record import TuningRecord


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", type=Path, metavar="FOLDER", help="folder of the model (default: the bundled starter)")
    add("--provider", choices=[one.value for one in Provider], help="choose among this provider's engines")
    add("--precision", choices=[one.value for one in Precision], help="choose among this precision's engines")
    add(
        "--explain",
        action="store_true",
        help="measure nothing: show the engines, what is remembered and would be used",
    )
    add("--cache", type=Path, metavar="FOLDER", help="where the result is kept (default: ~/.cache/rerank)")


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rerank_service.cli.output.tuning import engines_table, settings_table
    from rerank_service.models.tuning.startup import EngineRequest
    from rerank_service.settings import read_settings
    from rerank_service.wiring import model_options

    given: dict[str, Any] = {
        name: value
        for name in ("model", "provider", "precision", "cache")
        if (value := getattr(arguments, name)) is not None
    }
    options = model_options(read_settings(**given))
    console = Console()
    if arguments.explain:
        _explain(options, console)
        return 0
    tuned, kept = _tune(options)
    console.print(engines_table(tuned))
    console.print(settings_table(tuned))
    for one in tuned.skipped:
        console.print(f"skipped {one}", highlight=False, markup=False)
    batches = f"batches of {counted(tuned.max_batch_tokens or 0, 'token')}"
    console.print(f"chosen: {tuned.engine}, {counted(tuned.lanes or 0, 'lane')}, {batches}")
    if options.requested != EngineRequest():
        console.print(f"`{command_name()} serve` finds it when started with the same --provider and --precision")
    if not kept:
        console.print("it could not be kept, so `rerank serve` will not find it: see the warning above")
    return 0 if kept else 1


def _explain(options: "ModelOptions", console: "Console") -> None:
    from rerank_service.cli.output.tuning import engines_table, offer_table, settings_table
    from rerank_service.models.tune_command import explain

    explanation = explain(options)
    selection = explanation.selection
    console.print(offer_table(explanation))
    if selection.tuned is None:
        console.print("remembered: nothing")
    else:
        console.print(f"remembered: a {selection.tuned.form} tuning")
        console.print(engines_table(selection.tuned))
        if selection.tuned.settings:
            console.print(settings_table(selection.tuned))
        for one in selection.tuned.skipped:
            console.print(f"skipped {one}", highlight=False, markup=False)
    console.print(f"`rerank serve` starts with {selection.engine}: {selection.reason}", highlight=False, markup=False)


def _tune(options: "ModelOptions") -> tuple["TuningRecord", bool]:
    from rerank_service.models.tune_command import tune
    from rerank_service.progress import stages

    with stages() as report:
        return tune(options, report)


COMMAND = Command(
    help="find out what runs a model best on this machine",
    description="Measure which provider, precision, batch budget, length rounding and number of lanes are the fastest "
    "on this machine of those that rank as fp32 does, and keep that for `rerank serve`. It takes some minutes; let "
    f"nothing else run. For example: {command_name()} tune --model out/my-model. With --explain nothing is measured.",
    configure=_configure,
    run=_run,
)

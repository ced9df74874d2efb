"""`rerank tune`: measure the fastest engine and batch size for a model on this machine, and save the result."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_service.cli.commands import Command
from rerank_service.cli.model_errors import named_model
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.installation import command_name

if TYPE_CHECKING:
    from rich.console import Console

    from rerank_service.models.model_options import ModelOptions
    from rerank_service.models.tuning.record import TuningRecord


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="model folder (default: RERANK_MODEL, else the starter model)",
    )
    add(
        "--provider",
        choices=[provider.value for provider in Provider],
        help="compare only engines of this provider (default: RERANK_PROVIDER, else all)",
    )
    add(
        "--precision",
        choices=[precision.value for precision in Precision],
        help="compare only engines of this precision (default: RERANK_PRECISION, else all)",
    )
    add(
        "--explain",
        action="store_true",
        help="measure nothing; show the engines, the saved tuning, and the engine of the next start",
    )
    add(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="folder to save the result in (default: RERANK_CACHE, else ~/.cache/rerank)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from rerank_service.cli.output.bars import show_bars
    from rerank_service.cli.output.console import output_console, print_table
    from rerank_service.cli.output.tuning import chosen_line, engines_table, settings_table, speed_rows
    from rerank_service.models.tuning.startup import EngineRequest
    from rerank_service.settings import read_settings
    from rerank_service.wiring import single_model_options

    given: dict[str, Any] = {
        name: value
        for name in ("model", "provider", "precision", "cache")
        if (value := getattr(arguments, name)) is not None
    }
    settings = read_settings(**given)
    options = single_model_options(settings)
    console = output_console()
    with named_model(settings.model):
        if arguments.explain:
            _explain(options, console)
            return 0
        tuned, saved = _tune(options)
    print_table(console, engines_table(tuned))
    show_bars(console, "speed of the engines", speed_rows(tuned))
    print_table(console, settings_table(tuned))
    for skipped in tuned.skipped:
        console.print(f"skipped {skipped}", highlight=False, markup=False)
    console.print(chosen_line(tuned, options), highlight=False, markup=False)
    if options.requested != EngineRequest():
        console.print(f"`{command_name()} serve` uses it if started with the same --provider and --precision")
    if not saved:
        console.print(f"not saved, so `{command_name()} serve` cannot use it: the warning above gives the reason")
    return 0 if saved else 1


def _explain(options: "ModelOptions", console: "Console") -> None:
    from rerank_service.cli.output.console import print_table
    from rerank_service.cli.output.tuning import engines_table, offer_table, settings_table
    from rerank_service.models.tuning.explain import explain

    explanation = explain(options)
    selection = explanation.selection
    print_table(console, offer_table(explanation))
    if selection.tuned is None:
        console.print("saved tuning: none")
    else:
        provisional = (
            f", provisional: the next start of `{command_name()} serve` tunes again"
            if selection.tuned.provisional
            else ""
        )
        console.print(f"saved tuning: {selection.tuned.form}{provisional}")
        print_table(console, engines_table(selection.tuned))
        if selection.tuned.settings:
            print_table(console, settings_table(selection.tuned))
        for skipped in selection.tuned.skipped:
            console.print(f"skipped {skipped}", highlight=False, markup=False)
    console.print(
        f"`{command_name()} serve` starts with {selection.engine}: {selection.reason}", highlight=False, markup=False
    )


def _tune(options: "ModelOptions") -> tuple["TuningRecord", bool]:
    from rerank_service.models.tuning.full_run import tune
    from rerank_service.progress import stages

    with stages() as report:
        return tune(options, report)


COMMAND = Command(
    help="measure the fastest engine for a model on this machine",
    description="Measure the engines (provider and precision), batch sizes, length multiples and numbers of lanes on "
    "this machine, and save the fastest whose ranking matches fp32. `rerank serve` uses the saved result. This takes "
    "5 to 30 minutes; the command prints the time at its start. Stop other programs meanwhile.",
    examples=(
        ("the bundled starter model", f"{command_name()} tune"),
        ("show which engine a model gets, and why", f"{command_name()} tune --model out/my-model --explain"),
    ),
    configure=_configure,
    run=_run,
)

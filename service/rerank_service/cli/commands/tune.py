"""`rerank tune`: find out what runs a model best on this machine, and keep it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerank_service.cli.commands import Command
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.installation import command_name
from rerank_service.quantities import counted

if TYPE_CHECKING:
    from rerank_service.models.loading import ModelOptions
    from rerank_service.models.tuning.record import Tuned


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", type=Path, metavar="FOLDER", help="folder of the model (default: the bundled starter)")
    add("--provider", choices=[one.value for one in Provider], help="choose among this provider's engines")
    add("--precision", choices=[one.value for one in Precision], help="choose among this precision's engines")
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
    tuned, kept = _tune(options)
    console = Console()
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


def _tune(options: "ModelOptions") -> tuple["Tuned", bool]:
    from rich.console import Console
    from rich.status import Status

    from rerank_service.models.loading import tune

    console = Console(stderr=True)
    if not console.is_terminal:
        return tune(options, lambda what: console.print(what, highlight=False))
    with Status("", console=console) as status:
        return tune(options, status.update)


COMMAND = Command(
    help="find out what runs a model best on this machine",
    description="Measure which provider, precision, batch budget, length rounding and number of lanes are the fastest "
    "on this machine of those that rank as fp32 does, and keep that for `rerank serve`. It takes some minutes; let "
    f"nothing else run. For example: {command_name()} tune --model out/my-model",
    configure=_configure,
    run=_run,
)

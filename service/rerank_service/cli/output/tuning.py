"""Tables of `rerank tune`."""

from rich.table import Table
from rich.text import Text

from rerank_service.cli.output.bars import Row
from rerank_service.engine.available import ENGINES
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning.explain import Explanation
from rerank_service.models.tuning.record import TuningRecord, reference_engine
from rerank_service.quantities import counted


def offer_table(explanation: Explanation) -> Table:
    """Return a table with a row for each engine: those that work here, then the others, with the reason."""
    table = Table(title="engines", title_justify="left")
    table.add_column("engine")
    table.add_column("works here")
    table.add_column("why not", overflow="fold")
    for engine in explanation.available.engines:
        why = explanation.short_of_memory.get(engine)
        table.add_row(str(engine), "yes" if why is None else "no memory", Text(why or ""))
    for skipped in explanation.available.skipped:
        table.add_row(str(skipped.engine), "no", Text(skipped.reason))
    return table


def engines_table(tuned: TuningRecord) -> Table:
    """Return one row for each engine, the fastest first.

    Loss and worst are the mean relevance loss and that of the worst query.
    """
    table = Table(title="engines", title_justify="left")
    table.add_column("engine")
    table.add_column("tokens/s", justify="right")
    table.add_column("times fp32", justify="right")
    table.add_column("loss", justify="right")
    table.add_column("worst", justify="right")
    table.add_column("tau-b", justify="right")
    table.add_column("verdict", overflow="fold")
    speeds = {trial.engine: trial.tokens_per_second for trial in tuned.trials}
    fp32_speed = speeds[reference_engine(tuple(engine for engine in ENGINES if engine in speeds))]
    for trial in tuned.trials:
        table.add_row(
            str(trial.engine),
            f"{trial.tokens_per_second:,.0f}",
            f"{trial.tokens_per_second / fp32_speed:.2f}",
            *("" if value is None else f"{value:.4f}" for value in (trial.loss, trial.worst_loss, trial.tau)),
            trial.verdict,
            style="bold green" if trial.engine == tuned.engine else None,
        )
    return table


def speed_rows(tuned: TuningRecord) -> list[Row]:
    """Return a bar for the speed of each engine, the fastest first."""
    return [
        Row(
            str(trial.engine),
            trial.tokens_per_second,
            f"{trial.tokens_per_second:,.0f} tokens/s",
            "green" if trial.engine == tuned.engine else "bright_black",
        )
        for trial in tuned.trials
    ]


def chosen_line(record: TuningRecord, options: ModelOptions) -> str:
    """Return a line with the engine and the batch settings of a full tuning, and those that settings fix."""
    lanes = counted(options.lanes or record.lanes or 0, "lane")
    batches = counted(options.max_batch_tokens or record.max_batch_tokens or 0, "token")
    multiple = counted(options.length_multiple or record.length_multiple or 0, "token")
    values = (
        _unless_saved(lanes, "RERANK_LANES", options.lanes),
        _unless_saved(f"batches of {batches}", "RERANK_MAX_BATCH_TOKENS", options.max_batch_tokens),
        _unless_saved(f"lengths in multiples of {multiple}", "RERANK_LENGTH_MULTIPLE", options.length_multiple),
    )
    return f"chosen: {', '.join((str(record.engine), *values))}"


def _unless_saved(text: str, variable: str, fixed: int | None) -> str:
    return f"{text} (set by {variable}: not saved)" if fixed else text


def settings_table(tuned: TuningRecord) -> Table:
    """Return one row for each measured combination of batch settings and lanes, on the chosen engine."""
    table = Table(title=f"settings of {tuned.engine}", title_justify="left")
    for name in ("batch tokens", "length multiple", "lanes", "tokens/s"):
        table.add_column(name, justify="right")
    for setting in tuned.settings:
        chosen = (setting.max_batch_tokens, setting.length_multiple, setting.lanes) == (
            tuned.max_batch_tokens,
            tuned.length_multiple,
            tuned.lanes,
        )
        table.add_row(
            str(setting.max_batch_tokens),
            str(setting.length_multiple),
            str(setting.lanes),
            f"{setting.tokens_per_second:,.0f}",
            style="bold green" if chosen else None,
        )
    return table

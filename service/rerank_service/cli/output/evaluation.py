"""What an evaluation found, as a table."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from rerank_service.tools.evaluation.measures import CUTOFF, Figures, Measures, mean
from rerank_service.tools.evaluation.run import Evaluated


def evaluation_table(evaluated: Sequence[Evaluated], measures: Measures) -> Table:
    """One row a collection, and their mean: each measure of the first stage's order, and of the model's."""
    table = Table(caption="the order in which the candidates came → the model's", caption_justify="left")
    table.add_column("collection", overflow="fold")
    for name in ("queries", f"nDCG@{CUTOFF}", f"MRR@{CUTOFF}", f"recall@{measures.recall_at}"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in evaluated:
        table.add_row(Text(one.collection.name), f"{len(one.results):,}", *_cells(one.before, one.after))
    if len(evaluated) > 1:
        table.add_section()
        means = (mean([one.before for one in evaluated]), mean([one.after for one in evaluated]))
        table.add_row(f"mean of {len(evaluated)}", "", *_cells(*means))
    return table


def remarks(evaluated: Evaluated) -> list[str]:
    """What the figures leave out."""
    found, read = [], evaluated.read
    if read.in_windows:
        found.append(
            f"{read.in_windows:,} documents are longer than the model's window; with them {read.windows:,} pairs"
        )
    if read.cut:
        found.append(f"{read.cut:,} documents are cut")
    if evaluated.too_long:
        found.append(f"{evaluated.too_long} queries are too long for the model and kept the order in which they came")
    if evaluated.collection.unanswered:
        found.append(f"{evaluated.collection.unanswered} judged queries have no candidates and are left out")
    return [f"{evaluated.collection.name}: {one}" for one in found]


def _cells(before: Figures, after: Figures) -> list[Text]:
    pairs = [(getattr(before, name), getattr(after, name)) for name in Figures.__slots__]
    return [Text(f"{one:.4f}→{other:.4f}", "green" if other > one else "") for one, other in pairs]

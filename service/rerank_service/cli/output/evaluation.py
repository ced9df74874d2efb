"""What an evaluation found, as a table."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from rerank_service.quantities import counted
from rerank_service.tools.evaluation.measures import CUTOFF, Figures, Measures, mean
from rerank_service.tools.evaluation.run import Evaluated, Unscored


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
    """Return a line for each kind of query or document that the figures alone do not show."""
    collection, read = evaluated.collection, evaluated.read
    found = [f"{done}: {counted(count, noun)}{why}" for done, count, noun, why in _counts(evaluated) if count]
    if read.cut:
        found.insert(0, f"cut: {counted(read.cut, 'document')}")
    if read.in_windows:
        pairs = f"{counted(read.windows, 'pair')} with them"
        found.insert(0, f"longer than the model's window: {counted(read.in_windows, 'document')}, {pairs}")
    return [f"{collection.name}: {line}" for line in found]


def _counts(evaluated: Evaluated) -> Iterator[tuple[str, int, str, str]]:
    """Yield the treatment, the number, the noun and the reason of each kind."""
    collection, unscored, kept = evaluated.collection, evaluated.unscored, "left in the order of the candidates"
    yield "scored as empty texts", collection.candidates_without_text, "candidate", " without text"
    yield kept, unscored(Unscored.TOO_LONG), "query", " too long for the model"
    yield kept, unscored(Unscored.WITHOUT_TEXT), "query", " without text"
    yield kept, unscored(Unscored.REFUSED), "query", f" refused ({evaluated.refusal})"
    yield "counted with 0", unscored(Unscored.WITHOUT_CANDIDATES), "query", " without candidates"
    yield "counted with 0", collection.queries_without_relevant, "query", " without relevant documents"
    yield "left out", collection.unjudged, "query", " without judgements"


def _cells(before: Figures, after: Figures) -> list[Text]:
    pairs = [(getattr(before, name), getattr(after, name)) for name in Figures.__slots__]
    return [Text(f"{one:.4f}→{other:.4f}", "green" if other > one else "") for one, other in pairs]

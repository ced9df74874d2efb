"""Table and notes of `rerank eval`."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from rerank_service.cli.output.bars import Row
from rerank_service.quantities import counted
from rerank_service.tools.evaluation.evaluate import CollectionResult, Unscored
from rerank_service.tools.evaluation.measures import CUTOFF, NDCG, Measures, MeasureValues, mean


def evaluation_table(results: Sequence[CollectionResult], measures: Measures) -> Table:
    """Return one row for each collection, and their mean: each measure of the first-stage order → of the model's."""
    table = Table(caption="order of the candidates → order of the model", caption_justify="left")
    table.add_column("collection", overflow="fold")
    for name in ("queries", NDCG, f"MRR@{CUTOFF}", f"recall@{measures.recall_at}"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(Text(result.collection.name), f"{len(result.queries):,}", *_cells(result.before, result.after))
    if len(results) > 1:
        table.add_section()
        means = (mean([result.before for result in results]), mean([result.after for result in results]))
        table.add_row(f"mean of {len(results)}", "", *_cells(*means))
    return table


def ndcg_rows(results: Sequence[CollectionResult]) -> list[Row]:
    """Return two bars for each collection: nDCG of the order of the candidates, and of the model's."""
    rows = []
    for result in results:
        old, new = result.before.ndcg, result.after.ndcg
        rows.append(Row(result.collection.name, old, f"before {old:.4f}", "bright_black"))
        rows.append(Row("", new, f"after {new:.4f}", "green" if new >= old else "red"))
    return rows


def evaluation_notes(result: CollectionResult) -> list[str]:
    """Return a line for each kind of query or document that needs attention when the measures are read."""
    scored = result.scored
    notes = [f"{treatment}: {counted(count, noun)}{why}" for treatment, count, noun, why in _counts(result) if count]
    if scored.in_windows:
        pairs = f"{counted(scored.windows, 'pair')} in all"
        notes.insert(0, f"scored in windows: {counted(scored.in_windows, 'document')}, {pairs}")
    return [f"{result.collection.name}: {note}" for note in notes]


def _counts(result: CollectionResult) -> Iterator[tuple[str, int, str, str]]:
    """Yield the treatment, the number, the noun and the reason of each kind."""
    collection, unscored, kept = result.collection, result.unscored, "left in the order of the candidates"
    yield "cut", result.scored.truncated, "document", ""
    yield "cut", result.scored.queries_truncated, "query", ""
    yield "scored as empty texts", collection.candidates_without_text, "candidate", " without text"
    yield kept, unscored(Unscored.WITHOUT_TEXT), "query", " without text"
    yield kept, unscored(Unscored.REFUSED), "query", f" refused ({result.refusal})"
    yield "counted with 0", unscored(Unscored.WITHOUT_CANDIDATES), "query", " without candidates"
    yield "counted with 0", collection.queries_without_relevant, "query", " without relevant documents"
    yield "left out", collection.unjudged, "query", " without judgements"


def _cells(before: MeasureValues, after: MeasureValues) -> list[Text]:
    pairs = [(getattr(before, name), getattr(after, name)) for name in MeasureValues.__slots__]
    return [Text(f"{old:.4f}→{new:.4f}", "green" if new > old else "") for old, new in pairs]

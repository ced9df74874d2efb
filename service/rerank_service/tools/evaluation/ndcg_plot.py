"""Draw nDCG before and after the model, for each collection. Needs matplotlib, from the extra `bench`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rerank_service.tools.evaluation.evaluate import CollectionResult
from rerank_service.tools.evaluation.measures import NDCG


def draw_ndcg(results: Sequence[CollectionResult], model: str, path: Path) -> None:
    """Write a PNG with two bars for each collection."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.5 + 0.5 * len(results)), dpi=120, layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(results))
    for offset, name, colour in ((-0.2, "before", "tab:gray"), (0.2, "after", "tab:blue")):
        values = [getattr(result, name).ndcg for result in results]
        bars = axes.barh(rows + offset, values, 0.4, color=colour, label=name)
        axes.bar_label(bars, fmt="%.3f", padding=2, fontsize="small")
    axes.set_yticks(rows, [result.collection.name for result in results], parse_math=False)  # a name may have a $
    axes.set_title(model, parse_math=False)
    axes.invert_yaxis()
    axes.set(xlabel=NDCG, xlim=(0, 1.08))
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(path, format="png")

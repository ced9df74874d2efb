"""Bar charts on a terminal. Covers cli/output/bars.py."""

import io

import pytest
from rich.console import Console

from rerank_service.cli.output.bars import Row, show_bars
from support.terminals import TerminalText

_ROWS = [Row("before [a]", 0.25, "0.25"), Row("after", 0.5, "0.50", "green"), Row("none", 0.0, "0.00")]


def _shown(rows: list[Row], *, terminal: bool = True, maximum: float | None = None) -> list[str]:
    console = Console(
        file=TerminalText() if terminal else io.StringIO(), width=60, color_system=None, force_terminal=terminal
    )
    with console.capture() as captured:
        show_bars(console, "nDCG", rows, maximum=maximum)
    return captured.get().splitlines()


@pytest.mark.parametrize(("maximum", "share"), [(None, 1.0), (1.0, 0.5)])
def test_bars_have_the_lengths_of_their_values(maximum: float | None, share: float) -> None:
    """A full bar has the largest value, or a given maximum. Labels are shown literally, and each line fits."""
    title, *lines = _shown(_ROWS, maximum=maximum)
    assert title.strip() == "nDCG"
    assert [line.split("  ")[0].strip(" █▌") for line in lines] == ["before [a]", "after", "none"]
    lengths = [line.count("█") for line in lines]
    width = 60 - len("before [a] ") - len(" 0.25")
    assert lengths[1] == pytest.approx(width * share, abs=1.5)
    assert lengths[0] == pytest.approx(lengths[1] / 2, abs=1)
    assert lengths[2] == 0
    assert all(len(line) <= 60 for line in lines)


def test_pipes_and_empty_charts_show_nothing() -> None:
    """The table has the values."""
    assert _shown(_ROWS, terminal=False) == []
    assert _shown([]) == []
    assert _shown([Row("a", 0.0, "0")]) == []

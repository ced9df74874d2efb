"""Progress on standard error: plain lines in a pipe, a bar or a spinner on a terminal."""

import pytest

from rerank_service.progress import LINES, progress, stages


def test_pipe_gets_lines_at_even_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays empty."""
    with progress("pairs [a]", 200) as advance:
        for _ in range(200):
            advance(1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"pairs [a]: {200 // LINES * line} of 200" for line in range(1, LINES + 1)]


@pytest.mark.parametrize(("total", "lines"), [(None, LINES), (5, 0)])
def test_pipe_gets_no_lines_without_total_or_interval(
    total: int | None, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Work of unknown length, and work whose own lines follow."""
    with progress("calls", total, lines=lines) as advance:
        advance(5, detail="5 answered")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("total", [None, 3])
def test_terminal_gets_a_bar_with_detail(
    total: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar disappears at the end; markup in texts has no effect."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("calls [a]", total) as advance:
        advance(2, detail="2 [b] answered")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "calls [a]" in shown.err
    assert "2 [b] answered" in shown.err


def test_stages_are_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Each stage is one line."""
    with stages() as report:
        report("first [a]")
        report("second")
    assert capsys.readouterr().err.splitlines() == ["first [a]", "second"]


def test_stages_are_a_spinner_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The spinner shows the current stage."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with stages() as report:
        report("measuring")
    assert "measuring" in capsys.readouterr().err

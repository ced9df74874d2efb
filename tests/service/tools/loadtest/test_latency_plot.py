"""The plot of a load test."""

from pathlib import Path

from rerank_service.tools.loadtest.latency_plot import draw_load
from rerank_service.tools.loadtest.load_report import Level, LoadReport
from rerank_service.tools.loadtest.summary import summarise
from rerank_service.tools.loadtest.target import ServerInfo
from rerank_service.tools.loadtest.workload import Lengths, Workload


def test_names_in_a_plot_are_no_formulas(tmp_path: Path) -> None:
    """matplotlib reads text between dollar signs as a formula, and fails on a wrong one."""
    levels = [Level("1 client", 1, None, summarise([]))]
    served = ServerInfo(model="$^$", precision="fp32")
    report = LoadReport("http://$^$:1", served, Workload(1, Lengths(1, 2), seed=0), None, levels)
    draw_load(report, tmp_path / "load.png")
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")

"""The home page of the site and README.md have the same chart."""

import re

from support.page_blocks import ROOT

_CHART = re.compile(r"^!(\[[^]]+\])\((?:docs/)?(bench/[^)]+)\)$", re.MULTILINE)


def test_home_page_has_the_chart_of_the_readme() -> None:
    """A new benchmark changes both, with the number of systems."""
    pages = ("docs/index.md", "README.md")
    home, readme = (_CHART.findall((ROOT / page).read_text(encoding="utf-8")) for page in pages)
    assert len(home) == 1
    assert home == readme

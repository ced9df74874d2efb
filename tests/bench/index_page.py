"""List of the pages of results in docs/bench/README.md, by kind of processor."""

import json
from pathlib import Path
from typing import Any

_BEGIN, _END = "<!-- pages: written by make bench -->", "<!-- end of pages -->"


def update_index(folder: Path) -> None:
    """Write the list of all pages in a folder into its README.md, between the two comments."""
    readme = folder / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    readme.write_text(f"{before}{_BEGIN}\n{_table(folder)}\n{_END}{after}", encoding="utf-8")


def _table(folder: Path) -> str:
    lines = ["| kind | processor | cores | date | goals |", "|---|---|---|---|---|"]
    pages = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    return "\n".join([*lines, *(_line(path, figures) for path, figures in pages)])


def _line(path: Path, figures: dict[str, Any]) -> str:
    host = figures["host"]
    kind = figures["kind"] + (" (AMX hidden)" if host.get("hidden") else "")
    goals = ", ".join(f"{count} {outcome}" for outcome, count in figures["goals"].items())
    return f"| {kind} | [{host['cpu']}]({path.stem}.md) | {host['cores']} | {figures['date']} | {goals} |"

"""Output of `rerank doctor`: a table, a last line, and lines of JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from rich.table import Column, Table
from rich.text import Text

from rerank_service.cli.output.tables import printable
from rerank_service.quantities import counted
from rerank_service.tools.doctor.finding import Finding, Status

_STYLES = {Status.OK: "green", Status.SLOW: "yellow", Status.WRONG: "bold red"}


def findings_table(findings: Iterable[Finding], *, wide: bool = False) -> Table:
    """Return one row for each finding. Its fix is below its text. With `wide`, details and fix are beside it."""
    table = Table(Column("status", no_wrap=True), Column("part", overflow="fold"), Column("finding", overflow="fold"))
    for finding in findings:
        text = Text(printable(finding.text))
        if wide and finding.details:
            text.append(f": {printable(finding.details)}")
        if finding.fix:
            text.append("; " if wide else "\n").append(f"fix: {printable(finding.fix)}", "bold")
        table.add_row(Text(finding.status.value, _STYLES[finding.status]), Text(printable(finding.name)), text)
    return table


def findings_summary(findings: Sequence[Finding]) -> str:
    """Return one line with the number of findings of each status."""
    counts = Counter(finding.status for finding in findings)
    parts = ", ".join(f"{counts[status]} {status.value}" for status in Status)
    return f"{counted(len(findings), 'finding')}: {parts}"


def finding_json(finding: Finding) -> str:
    """Return a finding as a line of JSON."""
    return json.dumps(asdict(finding) | {"status": finding.status.value}, ensure_ascii=False)

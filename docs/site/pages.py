"""Pages that are not in docs/: files of the repository that the site includes, and the list of decisions."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
INCLUDED = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md")
"""Pages at the same path in the site as in the repository."""
DECISIONS = "decisions/index.md"
_INTRODUCTION = """# Decisions

Each page gives the context of a choice that is not obvious, the decision and its consequences.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path in INCLUDED:
        files.append(File.generated(config, path, content=(ROOT / path).read_text(encoding="utf-8")))
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    lines = [f"- [{_title(path)}]({path.name})\n" for path in decisions]
    files.append(File.generated(config, DECISIONS, content=_INTRODUCTION + "".join(lines)))
    return files


def _title(path: Path) -> str:
    found = re.search(r"^# (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else path.stem

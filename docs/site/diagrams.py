"""Diagrams in Mermaid. The site has the library itself, and only pages with a diagram load it.

Without this, the theme would load it from another host.
"""

import posixpath
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LIBRARY = Path(sys.prefix) / "share" / "mermaid.min.js"
_URI = "assets/javascripts/mermaid.min.js"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the library, which `make site` installs beside mkdocs."""
    if not _LIBRARY.exists():
        raise PluginError(f"{_LIBRARY} is missing: run make site, which installs it")
    files.append(File.generated(config, _URI, abs_src_path=str(_LIBRARY)))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Load the library in a page with a diagram, before the theme looks for it."""
    if 'class="mermaid"' not in output:
        return output
    path = posixpath.relpath(_URI, posixpath.dirname(page.file.dest_uri) or ".")
    return output.replace("</head>", f'<script src="{path}"></script></head>', 1)

"""Links to files of the repository: relative on GitHub. In the site, those to other files than pages lead to GitHub.

A link that leads nowhere stays as it is, and `mkdocs build --strict` reports it.
"""

import posixpath
import re
from collections.abc import Callable

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from pages import INCLUDED, ROOT

_FENCED = re.compile(r"^( *)(```+).*?^\1\2`*[ ]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page, but not those in its blocks of code."""
    rewrite = _rewriter(page.file.src_uri, config.repo_url.rstrip("/"), files)
    parts, end = [], 0
    for block in _FENCED.finditer(markdown):
        parts += [_LINK.sub(rewrite, markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, _LINK.sub(rewrite, markdown[end:])])


def _rewriter(page: str, repository: str, files: Files) -> Callable[[re.Match[str]], str]:
    """Return the function that replaces a link of a page."""
    folder = posixpath.dirname(page if page in INCLUDED else f"docs/{page}")

    def rewrite(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        anchor = link[2] or ""
        uri = _uri(path, files)
        if uri:
            return posixpath.relpath(uri, posixpath.dirname(page) or ".") + anchor
        target = ROOT / path
        if path.startswith("../") or not target.exists():
            return link[0]
        return f"{repository}/{'tree' if target.is_dir() else 'blob'}/main/{path}{anchor}"

    return rewrite


def _uri(path: str, files: Files) -> str | None:
    """Return the page or file of the site that has a path in the repository. A folder stands for its index."""
    if path in INCLUDED:
        return path
    if not path.startswith("docs/"):
        return None
    uri = path.removeprefix("docs/")
    for name in (uri, f"{uri}/index.md", f"{uri}/README.md"):
        file = files.get_file_from_path(name)
        if file is not None and not file.inclusion.is_excluded():
            return name
    return None

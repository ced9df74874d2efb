"""The documentation site that `make site` has built: whole, without other hosts, and readable by programs."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
PAGES = sorted(page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html") if page.name != "404.html")


class _Loaded(HTMLParser):
    """The addresses that a browser loads by itself, and those of twins."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.twins: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the addresses of a tag."""
        values = {name: value or "" for name, value in attrs}
        if values.get("rel") == "alternate":
            self.twins.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.addresses.append(values["href"])
        elif tag in ("script", "img", "iframe", "source", "video"):
            self.addresses += [values[name] for name in ("src", "srcset") if name in values]


def _loaded(page: str) -> _Loaded:
    parser = _Loaded()
    parser.feed((SITE / page).read_text(encoding="utf-8"))
    return parser


@pytest.mark.parametrize("page", PAGES)
def test_browser_loads_only_files_of_the_site(page: str) -> None:
    """No font, script or picture comes from another host."""
    for address in _loaded(page).addresses:
        parts = urlsplit(address)
        assert not parts.netloc, address
        assert parts.scheme == "data" or ((SITE / page).parent / parts.path).resolve().exists(), address


@pytest.mark.parametrize("page", PAGES)
def test_page_has_a_twin_in_markdown(page: str) -> None:
    """The page names it in its head."""
    [twin] = _loaded(page).twins
    assert ((SITE / page).parent / twin).read_text(encoding="utf-8").strip()


def test_llms_txt_lists_all_pages() -> None:
    """Each page once, by its twin. llms-full.txt has their text, without the decisions."""
    listed = re.findall(r"^- \[[^]]+\]\((.*?)\)", (SITE / "llms.txt").read_text(encoding="utf-8"), re.MULTILINE)
    twins = [((SITE / page).parent / twin).resolve() for page in PAGES for twin in _loaded(page).twins]
    assert sorted((SITE / uri).resolve() for uri in listed) == sorted(twins)
    text = (SITE / "llms-full.txt").read_text(encoding="utf-8")
    assert "# Reading scores" in text
    assert "# 0005: Fair queueing" not in text


def test_pages_with_diagrams_load_the_library() -> None:
    """The theme would load it from another host otherwise."""
    drawn = [page for page in PAGES if 'class="mermaid"' in (SITE / page).read_text(encoding="utf-8")]
    assert "concepts/cross-encoders.html" in drawn
    for page in PAGES:
        assert any("mermaid" in address for address in _loaded(page).addresses) == (page in drawn), page


def test_links_to_the_repository_are_complete() -> None:
    """A link of a page to a file that is no page leads to the repository, as one of pyproject.toml does."""
    [repository] = re.findall(r'^Repository = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    clients = (SITE / "clients.html").read_text(encoding="utf-8")
    assert f'href="{repository}/blob/main/proto/rerank/v1/rerank.proto"' in clients
    assert 'href="deploy/index.html#callers"' in clients
    metrics = (SITE / "metrics.html").read_text(encoding="utf-8")
    assert f'href="{repository}/tree/main/deploy/monitoring"' in metrics


def test_build_rejects_lost_pages_and_links(tmp_path: Path) -> None:
    """The command of `make site` fails for a page outside the navigation, and for wrong links and sections."""
    for name in ("docs", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "docs" / "stray.md").write_text("# Stray\n\n[lost](lost.md), [section](design.md#nowhere)\n")
    recipe = subprocess.run(["make", "-n", "site"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [build] = [line for line in recipe.splitlines() if "mkdocs build" in line]
    command = f"{build} --config-file {tmp_path}/mkdocs.yml --site-dir {tmp_path}/site"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "  - stray.md" in done.stderr
    assert "contains a link 'lost.md'" in done.stderr
    assert "does not contain an anchor '#nowhere'" in done.stderr

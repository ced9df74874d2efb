"""docs/reliability.md: the commands that replace a bundle."""

import re
import subprocess
from pathlib import Path

_PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_a_bundle_is_replaced_by_the_commands_of_the_page_again_and_again(tmp_path: Path) -> None:
    """The old version of the last time is in no way."""
    recipe = re.search(r"```text\n([^`]*cp -r new/ /models/[^`]*)```", _PAGE)
    assert recipe is not None
    served, commands = tmp_path / "models" / "docs", recipe[1].replace("/models", str(tmp_path / "models"))
    served.mkdir(parents=True)
    for version in ("1", "2", "3"):
        new = tmp_path / "new"
        new.mkdir(exist_ok=True)
        (new / "version").write_text(version)
        subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, check=True)
        assert [path.name for path in served.iterdir()] == ["version"]
        assert (served / "version").read_text() == version

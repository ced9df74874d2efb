"""The types of the scripts, as their comments say. TypeScript checks them; nothing is compiled."""

import shutil
import subprocess
from pathlib import Path

from rerank_service.api.http.playground import routes

COMPILER = Path(__file__).parent / "node_modules" / "typescript" / "bin" / "tsc"
FLAGS = (
    "--noEmit --allowJs --checkJs --strict --noUnusedLocals --target es2022 --module es2022 --moduleResolution bundler"
)


def test_types_of_the_scripts_agree() -> None:
    """TypeScript follows the imports of main.js to all files."""
    node = shutil.which("node")
    assert node, "make browser-test puts Node.js on the path"
    main = Path(routes.__file__).parent / "static" / "main.js"
    libraries = ["--lib", "es2023,dom,dom.iterable"]
    ran = subprocess.run([node, COMPILER, *FLAGS.split(), *libraries, main], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")

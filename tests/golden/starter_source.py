"""The source of the bundled model: the weights and tokenizer in a folder, with the code in export/starter."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CODE = Path(__file__).parents[2] / "export" / "starter" / "modeling_starter.py"


@contextmanager
def starter_source(folder: Path) -> Iterator[Path]:
    """Yield a temporary copy of `folder` whose model code is that of this repository."""
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "starter"
        shutil.copytree(folder, source, copy_function=shutil.copyfile)
        source.chmod(0o755)
        shutil.copyfile(CODE, source / CODE.name)
        yield source

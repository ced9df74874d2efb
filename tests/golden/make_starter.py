"""Export the bundled model from its source. `make starter` calibrates it afterwards (docs/starter.md).

python tests/golden/make_starter.py FOLDER OUT       (in the export environment)
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from golden.starter_source import starter_source
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export


def main(folder: Path, out: Path) -> None:
    """Write the bundle to `out`."""
    with starter_source(folder) as source:
        export(ExportRequest(str(source), out, name="starter", trust_remote_code=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Print docs/models.md from what the exporter's tests run by, and with which versions: `make docs`."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "export")]

from rerank_export.scoring.recipes import recipe_named  # noqa: E402 - the tests are no package of ours
from support.architectures import DECODERS, ENCODERS, GENERATORS, LONG, Generator  # noqa: E402

VERSIONS = ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "tokenizers", "huggingface_hub")


def page() -> str:
    """Versions, and a table for each kind of model."""
    encoders = ((one.name, f"`{one.kind}`", one.notes) for one in ENCODERS.values())
    decoders = ((one.family, f"`{one.kind}`", one.notes) for one in DECODERS.values())
    generators = ((f"`{name}`", f"`{one.kind}`", f"`{one.recipe}`", _score(one)) for name, one in GENERATORS.items())
    return "\n".join(
        (
            "# Models that were verified",
            "",
            "Made by `make docs` from `tests/support/architectures.py`, which the exporter's tests run by, and",
            "from `export/constraints.txt`. Of each row a small model with random weights is made, exported,",
            "and compared with torch: logits of single pairs and of padded batches differ by at most 1e-5.",
            "What an export of yours was verified with is in its own `manifest.json` and `report.json`.",
            "",
            *_table(("package", "version"), ((name, _version(name)) for name in VERSIONS)),
            "",
            "## Cross-encoders",
            "",
            "One label. Two labels, and the files of sentence-transformers, are tested with BERT.",
            "",
            *_table(("architecture", "`model_type`", "notes"), encoders),
            "",
            "## Decoders with a head",
            "",
            "One label; the last real token is pooled, with padding on the left and on the right.",
            "",
            *_table(("architecture", "`model_type`", "notes"), decoders),
            "",
            "## Decoders that are asked in words",
            "",
            *_table(("models named so", "`model_type`", "recipe", "score"), generators),
            "",
            f"Documents of 8,000 tokens are scored over gRPC with {' and '.join(LONG.values())}.",
        )
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _score(generator: Generator) -> str:
    recipe = recipe_named(generator.recipe)
    assert recipe is not None
    return f"`{recipe.yes}` less `{recipe.no}`" if recipe.no else f"`{recipe.yes}` alone"


def _version(package: str) -> str:
    constraints = (ROOT / "export" / "constraints.txt").read_text()
    found = re.search(rf"^{package}==(\S+)$", constraints, re.MULTILINE)
    assert found is not None, package
    return found[1]


if __name__ == "__main__":
    print(page())

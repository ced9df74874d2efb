"""Print docs/models.md: the models and package versions that the exporter's tests use. Run by `make docs`."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "export"), str(ROOT / "service")]

from rerank_export.scoring.architecture import NO_GRAPH  # noqa: E402 - the tests are no package of ours
from rerank_export.scoring.recipe_choice import recipe_named  # noqa: E402 - the tests are no package of ours
from rerank_service.cli.output.known_models import size_text  # noqa: E402
from rerank_service.models.known_models import KnownModel, known_models  # noqa: E402
from support.architectures import (  # noqa: E402
    DECODERS,
    ENCODER_DECODERS,
    ENCODERS,
    GENERATORS,
    LONG,
    OTHER_DECODERS,
    Generator,
)

VERSIONS = ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "tokenizers", "huggingface_hub")


def page() -> str:
    """Return the page: the package versions, and one table per kind of model."""
    encoders = ((one.name, f"`{one.kind}`", one.notes) for one in ENCODERS.values())
    decoders = ((one.family, f"`{one.kind}`", one.notes) for one in (DECODERS | OTHER_DECODERS).values())
    prompted = GENERATORS | ENCODER_DECODERS
    generators = ((f"`{name}`", f"`{one.kind}`", f"`{one.recipe}`", _score(one)) for name, one in prompted.items())
    refused = ((f"`{kind}`", reason) for kind, reason in sorted(NO_GRAPH.items()))
    return "\n".join(
        (
            "# Models",
            "",
            "`make docs` generates this page from `service/rerank_service/models/known_models.yaml`, from",
            "`tests/support/architectures.py`, the list that the exporter's tests use, and from",
            "`export/constraints.txt`.",
            "",
            *_known(),
            "## Verified architectures",
            "",
            "For each row, the tests create a small model with random weights, export it and compare it with torch.",
            "The logits of single pairs and of padded batches differ by at most 1e-5.",
            "",
            "The `manifest.json` and `report.json` of your own export show its versions and its verification.",
            "",
            "### Package versions",
            "",
            *_table(("package", "version"), ((name, _version(name)) for name in VERSIONS)),
            "",
            "### Cross-encoders",
            "",
            "All with one label. Two labels and sentence-transformers folders are tested with BERT.",
            "",
            *_table(("architecture", "`model_type`", "notes"), encoders),
            "",
            "### Decoders with a classification head",
            "",
            "All with one label. The last real token is pooled. Tested with padding on the left and on the right.",
            "",
            *_table(("architecture", "`model_type`", "notes"), decoders),
            "",
            "### Generators: models that are prompted for a score",
            "",
            *_table(("model name", "`model_type`", "recipe", "score"), generators),
            "",
            "### Classifiers that no path exports",
            "",
            "Found by trying each class for sequence classification in transformers 4.57. Classes in no table are",
            "tried: the comparison with torch decides. It rejects ConvBERT, MobileBERT (with `trigram_input`), XLNet",
            "and YOSO, because their scores depend on padding.",
            "",
            *_table(("`model_type`", "reason"), refused),
            "",
            "### Long documents",
            "",
            f"Documents of 8,000 tokens are scored over gRPC with {' and '.join(LONG.values())}.",
        )
    )


def _known() -> tuple[str, ...]:
    """Return the section of models worth using."""
    known = known_models()
    return (
        "## Models worth using",
        "",
        "`rerank models --known` shows this list with an estimated speed of each model on your machine. The facts are",
        f"those of the model cards, checked on {known.checked}. Max tokens counts query and document together.",
        "Verified means that the tests of the exporter cover the architecture. A model that is not in the list may be",
        "as good: measure it on your own queries with `rerank eval`.",
        "",
        *_table(
            ("model", "parameters", "languages", "max tokens", "licence", "verified", "notes"),
            (_known_row(model) for model in known.models),
        ),
        "",
    )


def _known_row(model: KnownModel) -> tuple[str, ...]:
    notes = [
        "needs `--trust-remote-code`" if model.trust_remote_code else "",
        f"recipe `{model.recipe}`" if model.recipe else "",
        model.note,
        " ".join(f"[source]({url})" for url in model.sources),
    ]
    return (
        f"[{model.name}]({model.card})",
        size_text(model.parameters),
        model.languages,
        f"{model.max_tokens:,}",
        model.licence,
        "yes" if model.verified else "no",
        "; ".join(filter(None, notes)),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _score(generator: Generator) -> str:
    recipe = recipe_named(generator.recipe)
    assert recipe is not None
    return f"`{recipe.yes}` minus `{recipe.no}`" if recipe.no else f"`{recipe.yes}` alone"


def _version(package: str) -> str:
    constraints = (ROOT / "export" / "constraints.txt").read_text()
    found = re.search(rf"^{package}==(\S+)$", constraints, re.MULTILINE)
    assert found is not None, package
    return found[1]


if __name__ == "__main__":
    print(page())

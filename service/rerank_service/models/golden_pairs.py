"""Golden pairs: pairs in a bundle with the logits that they had at export.

A load scores them again (golden_check.py). Scores do not depend on them, so they are not part of the digests of a
manifest. Bundles of earlier versions and hub folders have none.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rerank_service.models.bundle import Bundle
from rerank_service.models.files import GOLDEN, read_json, validate

MAX_PAIRS = 64
"""Maximum number of golden pairs. Every load scores all of them."""


class GoldenPair(BaseModel):
    """A pair, and its logit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str
    document: str
    logit: float = Field(allow_inf_nan=False)
    """The logit of the reference graph on the exporting machine, computed in fp32 on the CPU."""


class _GoldenFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: tuple[GoldenPair, ...] = Field(min_length=1, max_length=MAX_PAIRS)


def read_golden_pairs(bundle: Bundle) -> tuple[GoldenPair, ...]:
    """Return the golden pairs of a bundle; none if it has no golden.json.

    Raises:
        BundleInvalid: golden.json is invalid; the message names the field.
    """
    if GOLDEN not in bundle.manifest.files:
        return ()
    path = bundle.folder / GOLDEN
    return validate(_GoldenFile, read_json(path), path).pairs


def write_golden_pairs(folder: Path, pairs: Sequence[GoldenPair]) -> None:
    """Write golden.json, before the manifest. Without pairs, write nothing."""
    if pairs:
        content = _GoldenFile(pairs=tuple(pairs)).model_dump_json(indent=2)
        (folder / GOLDEN).write_text(content + "\n", "utf-8")

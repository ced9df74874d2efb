"""One export as the user asks for it."""

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from rerank_export.gate.gate_options import GateOptions
from rerank_export.scoring.scoring_options import ScoringOptions
from rerank_export.variants.precisions import FP32


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """The model, the folder to write, and all options."""

    model: str
    """Hub id, or path of a folder."""
    out: Path
    """The folder of the new bundle. A bundle that is there is replaced."""
    _: KW_ONLY
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run the code among the model's files."""
    name: str | None = None
    """Name of the model where it is served; None: the folder's name."""
    scoring: ScoringOptions = field(default_factory=ScoringOptions)
    precisions: str = FP32
    """Precisions to make graphs for, separated by commas."""
    without_passes: frozenset[str] = frozenset()
    """Names of the passes over the graph that do not run."""
    gate: GateOptions = field(default_factory=GateOptions)

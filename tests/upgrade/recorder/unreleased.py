"""Make the bundle of `fixtures/unreleased` with the code of this checkout.

`PYTHONPATH=tests python -m upgrade.recorder.unreleased FOLDER`
"""

import json
import shutil
import sys
from pathlib import Path

from rerank_service.models.bundle import write_manifest
from rerank_service.models.files import REPORT
from rerank_service.models.golden_pairs import GoldenPair, write_golden_pairs
from rerank_service.ranking.calibration_curve import Calibration, Isotonic
from support.small import logit, write_small_model


def main(folder: Path) -> None:
    """Write a bundle with golden pairs, a verdict and a calibration."""
    shutil.rmtree(folder, ignore_errors=True)
    bundle = write_small_model(folder)
    write_golden_pairs(folder, [GoldenPair(query="q", document=text, logit=logit(text)) for text in ("0", "1 2")])
    (folder / REPORT).write_text(json.dumps({"verdict": "passed"}) + "\n")
    calibration = Calibration(meaning="grade", curve=Isotonic(logits=(0.0, 4.0, 20.0), values=(0.05, 0.5, 0.9)))
    write_manifest(folder, bundle.manifest.model_copy(update={"calibration": calibration, "verdict": "passed"}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

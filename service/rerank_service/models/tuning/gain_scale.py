"""The scale on which logits become probabilities when rankings are compared.

Most models need no scale: their probability is sigmoid(logit), whatever score the bundle reports. It is exact for a
head with a sigmoid and for a head with two labels (the logit is the difference of both), and the usual reading of the
logits of a head without an activation.

Two kinds of heads have probabilities that are too close together for a loss to show: logits that are probabilities or
grades already (regression), and logits with an arbitrary offset (trained on differences only). They are standardised.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.ranking.calibration_curve import sigmoid

MIN_SPREAD = 0.1
"""Standard deviation of the fp32 probabilities over the parity set below which logits are standardised. The bundled
model has about 0.4."""
STANDARD_SPREAD = 2.0
"""Standard deviation of standardised logits: the probabilities of most documents are between 0.02 and 0.98."""


@dataclass(frozen=True, slots=True)
class GainScale:
    """The scaled logit is (logit - shift) * factor."""

    shift: float = 0.0
    factor: float = 1.0

    @classmethod
    def of(cls, references: Sequence[NDArray[np.float32]]) -> "GainScale":
        """Return the scale for the fp32 logits of all queries; each array has shape (documents,)."""
        logits = np.concatenate(references).astype(np.float64) if references else np.zeros(0)
        if not len(logits) or not np.isfinite(logits).all():
            return cls()
        spread = float(logits.std())
        if not spread or float(sigmoid(logits).std()) >= MIN_SPREAD:
            return cls()
        return cls(float(logits.mean()), STANDARD_SPREAD / spread)

    def scaled(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return scaled logits, of the same shape."""
        scaled: NDArray[np.float64] = (logits.astype(np.float64) - self.shift) * self.factor
        return scaled

"""Values and pure functions: request, document, scores, calibration curve, ranking."""

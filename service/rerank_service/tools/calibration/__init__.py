"""Calibration: fit the curve that turns logits into probabilities or grades, on labelled documents, and add it to a
bundle."""

"""The graph of a small BERT with random weights (tests/golden/make_plain_bert.py): attention as most models have it."""

from pathlib import Path

PLAIN_BERT = Path(__file__).with_name("plain_bert.onnx")
LAYERS = 6

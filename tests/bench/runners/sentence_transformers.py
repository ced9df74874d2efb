"""sentence-transformers' CrossEncoder.

`together` gives it all pairs in one call, which it sorts by length: its best. Otherwise a call a request, as a service
that uses it has to.
"""

from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, export_static_quantized_openvino_model

from bench.runners.lines import Requests, serve

_DEFAULT_BATCH = 32
_QUANTISED = "openvino/openvino_model_qint8_quantized.xml"
"""What its own quantisation writes."""


class Engine:
    """A CrossEncoder."""

    def __init__(self, encoder: CrossEncoder, *, together: bool) -> None:
        self._encoder = encoder
        self._together = together

    def prepare(self, requests: Requests) -> Requests:
        """Its input is text."""
        return requests

    def run(self, prepared: Requests, batch: int | None) -> list[list[float]]:
        """As in Engine of lines.py."""
        batch = batch or _DEFAULT_BATCH
        if not self._together:
            return [self._rank(query, documents, batch) for query, documents in prepared]
        pairs = [(query, document) for query, documents in prepared for document in documents]
        scores = iter(self._encoder.predict(pairs, batch_size=batch).tolist())
        return [[next(scores) for _ in documents] for _, documents in prepared]

    def _rank(self, query: str, documents: list[str], batch: int) -> list[float]:
        scores = {
            one["corpus_id"]: float(one["score"]) for one in self._encoder.rank(query, documents, batch_size=batch)
        }
        return [scores[index] for index in range(len(documents))]


def load(message: dict[str, Any]) -> Engine:
    """`model` is the folder; `backend` and `model_kwargs` are CrossEncoder's own. With `calibration`, a folder of
    texts, the model is quantised first, into the folder `quantised`."""
    folder = message["model"]
    if calibration := message.get("calibration"):
        folder = message["quantised"]
        if not (Path(folder) / _QUANTISED).exists():
            _quantise(message["model"], calibration, folder)
    encoder = CrossEncoder(folder, backend=message["backend"], model_kwargs=message["model_kwargs"])
    return Engine(encoder, together=message["together"])


def _quantise(model: str, calibration: str, quantised: str) -> None:
    """As documented, but for the texts: the default ones would have to be fetched."""
    encoder = CrossEncoder(model, backend="openvino")
    encoder.save_pretrained(quantised)
    export_static_quantized_openvino_model(
        encoder,
        None,
        quantised,
        dataset_name=calibration,
        dataset_config_name="default",
        dataset_split="train",
        column_name="text",
    )


if __name__ == "__main__":
    serve(load, ("sentence-transformers", "torch", "onnxruntime", "openvino"))

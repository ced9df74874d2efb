"""Runner of sentence-transformers: CrossEncoder.

`together` passes all pairs in one call, which sorts them by length: its best configuration. Otherwise each request is
one call, as in a service that uses the library.
"""

from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder

from bench.runners.protocol import Requests, serve

_DEFAULT_BATCH = 32
_QUANTISED = "openvino/openvino_model_qint8_quantized.xml"
"""Graph that the library's own quantisation writes."""


class Engine:
    """A loaded CrossEncoder."""

    def __init__(self, encoder: CrossEncoder, *, together: bool) -> None:
        self._encoder = encoder
        self._together = together

    def prepare(self, requests: Requests) -> Requests:
        """Return the requests: the input is text."""
        return requests

    def run(self, prepared: Requests, batch: int | None) -> list[list[float]]:
        """Score the requests; see `protocol.Engine.run`."""
        batch = batch or _DEFAULT_BATCH
        if not self._together:
            return [self._rank(query, documents, batch) for query, documents in prepared]
        pairs = [(query, document) for query, documents in prepared for document in documents]
        scores = iter(self._encoder.predict(pairs, batch_size=batch).tolist())
        return [[next(scores) for _ in documents] for _, documents in prepared]

    def _rank(self, query: str, documents: list[str], batch: int) -> list[float]:
        scores = {
            result["corpus_id"]: float(result["score"])
            for result in self._encoder.rank(query, documents, batch_size=batch)
        }
        return [scores[index] for index in range(len(documents))]


def load(message: dict[str, Any]) -> Engine:
    """Load the folder `model`; `backend`, `model_kwargs` and `trust_remote_code` are arguments of CrossEncoder.

    With `calibration`, a folder of texts, the model is quantised first, into the folder `quantised`.
    """
    folder = message["model"]
    if calibration := message.get("calibration"):
        folder = message["quantised"]
        if not (Path(folder) / _QUANTISED).exists():
            _quantise(message["model"], calibration, folder)
    encoder = CrossEncoder(
        folder,
        backend=message["backend"],
        model_kwargs=message["model_kwargs"],
        trust_remote_code=message.get("trust_remote_code", False),
    )
    return Engine(encoder, together=message["together"])


def _quantise(model: str, calibration: str, quantised: str) -> None:
    """Quantise as documented, with our texts, because the default ones need a download."""
    from sentence_transformers import export_static_quantized_openvino_model

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

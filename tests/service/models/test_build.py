"""Building a served model from a bundle, with the limits of its options."""

from pathlib import Path

import pytest

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle, open_bundle, write_manifest
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import Names, ServedModel
from rerank_service.models.tuning.record import TuningRecord
from support.limits import batch_limits
from support.small import write_small_model


def _load(bundle: Bundle, engine: Engine = CPU_FP32, names: Names | None = None) -> ServedModel:
    return build_model(bundle, limits=batch_limits(), engine=engine, lanes=1, names=names)


def test_batches_are_not_padded_beyond_the_token_limit(small_model: Bundle, tmp_path: Path) -> None:
    """The model has no positions beyond it, whatever the length multiple is."""
    options = ModelOptions(folder=small_model.folder, cache=tmp_path, length_multiple=100)
    model = load_selected(options)
    assert model.scheduler.limits.padded(30) == small_model.manifest.max_tokens


def test_cuda_graphs_do_not_use_the_tuned_batch_sizes(small_model: Bundle, tmp_path: Path) -> None:
    """They were measured without CUDA graphs, whose batches must fit into a recording."""
    options = ModelOptions(folder=small_model.folder, cache=tmp_path)
    engine = {"form": "full", "provider": "cuda", "precision": "fp16", "trials": []}
    tuned = TuningRecord.model_validate(engine | {"max_batch_tokens": 32_768, "length_multiple": 1})
    for graphs, expected in ((False, (32_768, 1)), (True, (4_096, 32))):
        limits = options.batch_limits(small_model, Engine(Provider.CUDA, Precision.FP16, graphs), tuned)
        assert (limits.max_tokens, limits.length_multiple) == expected


def test_unavailable_engine_is_an_error(small_model: Bundle) -> None:
    """There is no silent fallback to the CPU."""
    with pytest.raises(BundleInvalid, match=r"--provider cuda --precision fp16 does not work.*CPUExecutionProvider"):
        _load(small_model, Engine(Provider.CUDA, Precision.FP16))


def test_invalid_graph_is_rejected(tmp_path: Path) -> None:
    """The message names the graph."""
    folder = write_small_model(tmp_path / "small").folder
    (folder / "manifest.json").unlink()
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleInvalid, match=r"model\.onnx is not an ONNX graph, or is damaged .*: download it again"):
        _load(open_bundle(folder))


def test_token_of_padding_that_the_graph_does_not_know_is_rejected(tmp_path: Path) -> None:
    """The warm-up pads a row. Before, the first padded request failed."""
    bundle = write_small_model(tmp_path / "small")
    write_manifest(bundle.folder, bundle.manifest.model_copy(update={"pad_id": 5_000}))
    with pytest.raises(BundleInvalid, match=r"the model does not run: .*out of data bounds"):
        load_selected(ModelOptions(folder=bundle.folder, cache=tmp_path / "cache"))

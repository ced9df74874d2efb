"""Loading a bundle and finding models by name."""

from pathlib import Path

import pytest

from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import BundleInvalid, NotReady, UnknownModel
from rerank_service.models.build import Names, build_model
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.hosted_names import HOSTED_NAMES
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ServedModel
from support.limits import batch_limits
from support.small import write_small_model


def _load(bundle: Bundle, engine: Engine = CPU_FP32, names: Names | None = None) -> ServedModel:
    return build_model(bundle, limits=batch_limits(), engine=engine, lanes=1, names=names)


def test_a_model_is_found_by_each_of_its_names(small_model: Bundle) -> None:
    """Its own, its aliases, `default` and none."""
    registry = Registry()
    with pytest.raises(NotReady):
        registry.get("")
    model = _load(small_model, names=Names("mine", ("also",)))
    registry.add(model)
    assert all(registry.get(name) is model for name in ("mine", "also", "default", ""))
    assert registry.models() == [model]
    with pytest.raises(UnknownModel, match="'small' is not served here; served: mine, also"):
        registry.get("small")


def test_rows_are_not_padded_beyond_the_window(small_model: Bundle) -> None:
    """Whatever the multiple to which lengths are rounded up: the model has no positions there."""
    model = build_model(small_model, limits=batch_limits(length_multiple=100), lanes=1)
    assert model.scheduler.limits.padded(30) == small_model.manifest.max_tokens


def test_any_model_lets_every_name_mean_the_default(small_model: Bundle) -> None:
    """As --any-model says."""
    registry = Registry(any_model=True)
    registry.add(_load(small_model))
    assert registry.get("rerank-english-v3.0").info.name == "small"


def test_names_of_hosted_rerankers_mean_the_default(small_model: Bundle) -> None:
    """Unless a model has the name itself; the refusal of another does not list them."""
    registry = Registry(defaults=HOSTED_NAMES)
    registry.add(_load(small_model))
    registry.add(_load(small_model, names=Names("rerank-v3.5")))
    for name in ("rerank-english-v3.0", "Salesforce/Llama-Rank-V1", "jina-reranker-v2-base-multilingual", "rerank-2.5"):
        assert registry.get(name).info.name == "small"
    assert registry.get("rerank-v3.5").info.name == "rerank-v3.5"
    with pytest.raises(UnknownModel, match=r"'gpt' is not served here; served: small, rerank-v3\.5$"):
        registry.get("gpt")


def test_an_engine_that_does_not_work_is_an_error(small_model: Bundle) -> None:
    """No silent fall-back to the CPU."""
    with pytest.raises(BundleInvalid, match=r"--provider cuda --precision fp16 does not work.*CPUExecutionProvider"):
        _load(small_model, Engine(Provider.CUDA, Precision.FP16))


def test_a_graph_that_onnxruntime_refuses_is_refused(tmp_path: Path) -> None:
    """In one line that names it."""
    folder = write_small_model(tmp_path / "small").folder
    (folder / "manifest.json").unlink()
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleInvalid, match=r"onnxruntime cannot load .*model\.onnx"):
        _load(open_bundle(folder))

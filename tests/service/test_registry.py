"""Loading a bundle and finding models by name."""

from pathlib import Path

import pytest

from rerank_service.batching import BatchLimits
from rerank_service.bundle import Bundle, open_bundle
from rerank_service.errors import BundleInvalid, NotReady, UnknownModel
from rerank_service.provider import Provider
from rerank_service.registry import Registry, ServedModel, load
from support.small import write_small_model


def _load(bundle: Bundle, provider: Provider = Provider.CPU, **names: object) -> ServedModel:
    return load(bundle, limits=BatchLimits(), provider=provider, lanes=1, **names)  # type: ignore[arg-type]


def test_a_model_is_found_by_each_of_its_names(small_model: Bundle) -> None:
    """Its own, its aliases, `default` and none."""
    registry = Registry()
    with pytest.raises(NotReady):
        registry.get("")
    model = _load(small_model, name="mine", aliases=("also",))
    registry.add(model)
    assert all(registry.get(name) is model for name in ("mine", "also", "default", ""))
    assert registry.models() == [model]
    with pytest.raises(UnknownModel, match="'small' is not served here; served: mine, also"):
        registry.get("small")


def test_rows_are_not_padded_beyond_the_window(small_model: Bundle) -> None:
    """Whatever the multiple to which lengths are rounded up: the model has no positions there."""
    model = load(small_model, limits=BatchLimits(length_multiple=100), provider=Provider.CPU, lanes=1)
    assert model.scheduler._limits.padded(30) == small_model.manifest.max_tokens


def test_any_model_lets_every_name_mean_the_default(small_model: Bundle) -> None:
    """As --any-model says."""
    registry = Registry(any_model=True)
    registry.add(_load(small_model))
    assert registry.get("rerank-english-v3.0").info.name == "small"


def test_a_provider_that_does_not_work_is_an_error(small_model: Bundle) -> None:
    """No silent fall-back to the CPU; `auto` takes what works."""
    with pytest.raises(BundleInvalid, match=r"--provider cuda does not work here.*CPUExecutionProvider"):
        _load(small_model, Provider.CUDA)
    assert _load(small_model, Provider.AUTO).info.provider == "CPUExecutionProvider"


def test_a_graph_that_onnxruntime_refuses_is_refused(tmp_path: Path) -> None:
    """In one line that names it."""
    folder = write_small_model(tmp_path / "small").folder
    (folder / "manifest.json").unlink()
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleInvalid, match=r"onnxruntime cannot load .*model\.onnx"):
        _load(open_bundle(folder))

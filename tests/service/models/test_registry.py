"""Find models by name."""

from dataclasses import replace

import pytest
import structlog

from rerank_service.engine.kinds import CPU_FP32, Engine
from rerank_service.errors import NotReady, UnknownModel
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.hosted_names import HOSTED_NAMES
from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import Names, ServedModel
from support.limits import batch_limits


def _load(bundle: Bundle, engine: Engine = CPU_FP32, names: Names | None = None) -> ServedModel:
    return build_model(bundle, limits=batch_limits(), engine=engine, lanes=1, names=names)


def test_model_is_found_by_each_of_its_names(small_model: Bundle) -> None:
    """Its own name, its aliases, `default` and the empty name."""
    registry = Registry()
    with pytest.raises(NotReady):
        registry.find("")
    model = _load(small_model, names=Names("mine", ("also",)))
    registry.add(model)
    assert all(registry.find(name).model is model for name in ("mine", "also", "default", ""))
    assert [each.model for each in registry.registered] == [model]
    with pytest.raises(UnknownModel, match="'small' is not served here; served: mine, also"):
        registry.find("small")


def test_any_model_maps_unknown_names_to_the_default(small_model: Bundle) -> None:
    """The setting is --any-model."""
    registry = Registry(any_model=True)
    registry.add(_load(small_model))
    assert registry.find("rerank-english-v3.0").info.name == "small"


def test_hosted_names_mean_the_default_model(small_model: Bundle) -> None:
    """A model that has such a name itself takes precedence. The error for other names does not list them."""
    registry = Registry(default_names=HOSTED_NAMES)
    registry.add(_load(small_model))
    registry.add(_load(small_model, names=Names("rerank-v3.5")))
    for name in ("rerank-english-v3.0", "Salesforce/Llama-Rank-V1", "jina-reranker-v2-base-multilingual", "rerank-2.5"):
        assert registry.find(name).info.name == "small"
    assert registry.find("rerank-v3.5").info.name == "rerank-v3.5"
    for name in ("zerank-2", "zerank-1", "jina-reranker-v3"):
        assert registry.find(name).info.name == "small"
    with pytest.raises(UnknownModel, match=r"'gpt' is not served here; served: small, rerank-v3\.5$"):
        registry.find("gpt")


def test_hosted_patterns_need_a_single_model(small_model: Bundle) -> None:
    """With several models, a wrong name stays an error that lists the served names."""
    registry = Registry(hosted_patterns=("*rerank*[0-9]*",))
    registry.add(_load(small_model))
    assert registry.find("cohere/rerank-v9").info.name == "small"
    registry.add(_load(small_model, names=Names("my-reranker-v1")))
    with pytest.raises(UnknownModel, match=r"'cohere/rerank-v9' is not served here; served: small, my-reranker-v1$"):
        registry.find("cohere/rerank-v9")


def test_typo_of_an_alias_is_unknown(small_model: Bundle) -> None:
    """A hosted name beside it is accepted."""
    registry = Registry(hosted_patterns=("*rerank*[0-9]*",))
    registry.add(_load(small_model, names=Names("mine", ("my-reranker-v1",))))
    assert registry.find("rerank-v9").info.name == "mine"
    with pytest.raises(UnknownModel, match="served: mine, my-reranker-v1"):
        registry.find("my-rerankr-v1")


def test_accepted_hosted_name_is_logged_once(small_model: Bundle) -> None:
    """Its form alone may mislead. The number of logged names is bounded."""
    registry = Registry(hosted_patterns=("*rerank*[0-9]*",))
    registry.add(_load(small_model))
    with structlog.testing.capture_logs() as lines:
        for number in range(300):
            for _ in range(2):
                registry.find(f"rerank-v{number}")
    assert len(lines) == 100
    assert lines[0] == {
        "event": "hosted name accepted",
        "log_level": "info",
        "name": "rerank-v0",
        "model": "small",
    }


def test_a_name_stays_until_its_new_model_accepts_requests(small_model: Bundle) -> None:
    """Also the place of the default model. Keys may use the model by the names that it keeps."""
    model = _load(small_model, names=Names("old", ("x",)))
    registry = Registry()
    registry.add(model)
    [old] = registry.registered
    new = RegisteredModel(replace(model.info, name="new", aliases=("old", "x")))
    registry.register([new])
    assert [registry.find(name) for name in ("", "default", "old", "x", "new")] == [old, old, old, old, new]
    old.rename(())
    assert list(registry.names_of(old)) == ["old", "x"]
    assert registry.is_used(old)
    new.serve(_load(small_model))
    assert {registry.find(name) for name in ("", "default", "old", "x", "new")} == {new}
    assert not registry.is_used(old)

"""Facts about models worth using, in known_models.yaml."""

import re

import pytest

from rerank_service.models.known_models import KnownModel, known_models
from support.architectures import ENCODERS, GENERATORS

_MODELS = {model.name: model for model in known_models().models}


def test_names_are_hub_ids_and_unique() -> None:
    """The list is short enough to be read."""
    assert len(_MODELS) == len(known_models().models)
    assert 15 <= len(_MODELS) <= 25
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in _MODELS)


@pytest.mark.parametrize("model", _MODELS.values(), ids=_MODELS)
def test_verified_says_what_the_exporter_tests(model: KnownModel) -> None:
    """An architecture that transformers has, or the recipe of a generator. Code of a repository is not tested."""
    kinds = {one.kind for one in ENCODERS.values()}
    recipes = {(one.recipe, one.kind) for one in GENERATORS.values()}
    tested = (model.recipe, model.model_type) in recipes if model.recipe else model.model_type in kinds
    assert model.verified is (tested and not model.trust_remote_code)


@pytest.mark.parametrize("model", _MODELS.values(), ids=_MODELS)
def test_numbers_fit_each_other(model: KnownModel) -> None:
    """A transformer has 8 to 20 times hidden_size² weights a layer, beside its embeddings."""
    weights = model.parameters - model.vocabulary * model.hidden_size
    assert 8 <= weights / (model.layers * model.hidden_size**2) <= 20
    assert model.work(256) > 2 * model.work(128)
    assert model.max_tokens >= 512


def test_sources_are_pages() -> None:
    """The model card, and further ones."""
    sources = [url for model in _MODELS.values() for url in (model.card, *model.sources)]
    assert all(url.startswith("https://") for url in sources)

"""Rerank models worth using, from known_models.yaml."""

from datetime import date
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

_FILE = Path(__file__).with_name("known_models.yaml")
_HUB = "https://huggingface.co/"


class KnownModel(BaseModel):
    """Facts about a model, as its authors state them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Hub id."""
    parameters: int
    """Number of all parameters, embeddings included."""
    layers: int
    hidden_size: int
    vocabulary: int
    """Number of tokens with an embedding."""
    languages: str
    max_tokens: int
    """Token limit for query and document together, as the authors recommend it."""
    licence: str
    """SPDX identifier in lower case, as on the hub."""
    model_type: str
    """`model_type` in config.json."""
    trust_remote_code: bool = False
    """True if the export runs code of the repository, with `--trust-remote-code`."""
    verified: bool
    """True if the exporter's tests cover the architecture, or the recipe of a generator."""
    recipe: str = ""
    """Recipe of the exporter for its prompt; empty for a cross-encoder."""
    note: str = ""
    sources: tuple[str, ...] = ()
    """Pages beside the model card."""

    @property
    def card(self) -> str:
        """URL of the model card."""
        return _HUB + self.name

    def work(self, tokens: int) -> float:
        """Return the multiplications for a pair of that many tokens: those with weights, and those of the attention.

        An embedding is looked up, so its weights do not count.
        """
        weights = self.parameters - self.vocabulary * self.hidden_size
        return tokens * (weights + attention_work(self.layers, self.hidden_size, tokens))


class KnownModels(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: date
    """Date on which all entries were compared with their sources."""
    models: tuple[KnownModel, ...]
    """The models, from small to large within each group of languages."""


@cache
def known_models() -> KnownModels:
    """Return the list."""
    return KnownModels.model_validate(yaml.safe_load(_FILE.read_text()))


def attention_work(layers: int, hidden_size: int, tokens: int) -> int:
    """Return the multiplications of the attention for one token of a pair with that many tokens.

    Queries with keys, and weights with values, in each layer.
    """
    return 2 * layers * hidden_size * tokens

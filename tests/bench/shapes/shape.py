"""Description of a shape: the published sizes of a model, without its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a published model. Its weights are random."""

    name: str
    """Short name: for `--only`, files and the table."""
    model: str
    """Hub id of the model whose sizes these are."""
    source: str
    """Address of the config.json with the sizes."""
    architecture: str
    """Module below bench.shapes that builds it."""
    config: Mapping[str, Any] = field(hash=False)
    """Published sizes, by the field names of the model's class of configuration in transformers."""
    max_tokens: int
    """Token limit of a pair."""
    tokenizer: str
    """Kind of the tokenizer, for the table."""
    template: str | None = None
    """Name of the exporter's recipe with the prompt of a text generator; None: the tokenizer's pair format."""
    dtype: str = "float32"
    """Type of the published weights, by its name in torch."""
    published_layers: int | None = None
    """Number of layers of the published model, if this shape has fewer; see `with_layers`."""

    @property
    def layers(self) -> int:
        """Number of layers that are built."""
        layers: int = self.config["num_hidden_layers"]
        return layers

    @property
    def scale(self) -> float:
        """Published layers / built layers, about the factor by which the published model is slower."""
        return (self.published_layers or self.layers) / self.layers

    @property
    def label(self) -> str:
        """The name, with the number of layers if it is not the published one."""
        return f"{self.name} ({self.layers} of {self.published_layers} layers)" if self.published_layers else self.name

    def with_layers(self, most: int | None) -> "Shape":
        """Return the shape with `most` layers if it has more: a stand-in where memory is short."""
        if most is None or self.layers <= most:
            return self
        return replace(
            self,
            config={**self.config, "num_hidden_layers": most},
            published_layers=self.published_layers or self.layers,
        )


class Architecture(Protocol):
    """The interface of the modules of architectures."""

    @property
    def SHAPES(self) -> tuple[Shape, ...]:  # noqa: N802 - a constant of the module
        """The shapes of this architecture."""

    def build(self, shape: Shape) -> tuple[Any, Any]:
        """Return a model with random weights, in eval mode, and its tokenizer, both of transformers. Needs torch."""

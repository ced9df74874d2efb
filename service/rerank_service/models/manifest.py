"""The manifest of a bundle: manifest.json."""

from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rerank_service.encoding.template import Template
from rerank_service.engine.kinds import Engine
from rerank_service.engine.logits import GraphActivation, OutputForm
from rerank_service.model_names import is_model_name
from rerank_service.models.files import GOLDEN, REPORT, json_digest
from rerank_service.models.token_limits import MAX_PAD_ID, MAX_TOKENS, MIN_TOKENS
from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.scores import Activation

_NOT_SCORING = {"name", "source", "revision", "recipe", "verdict"}
"""Fields that scores do not depend on: names, origin and test results."""
_MAX_NAME_CHARS = 255
"""Length of a file name: the name of a hub folder is that of the folder."""
_MEASURED = {"parity", "speed"}
"""Fields of a variant that scores do not depend on."""
_BELOW_INT8 = {"int4", "int2"}
"""Precisions of graphs that run on the engines of int8."""
_TESTS = {GOLDEN, REPORT}
"""Files that scores do not depend on: results of tests, and what to test."""


class Variant(BaseModel):
    """One graph of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Name of the graph's file, relative to the bundle's folder."""
    precision: Literal["fp32", "fp16", "bf16", "int8", "int4", "int2"]
    """Precision of the computation. int4 and int2: only a graph of a hub folder, which runs as int8 does."""
    weights: Literal["fp32", "fp16", "bf16", "int8", "int4", "int2"]
    """Precision of the stored weights. An fp32 graph stores fp16 weights if that is lossless, or on request."""
    provider: Literal["cpu", "cuda"] | None = None
    """Provider that the graph was made for; None: any."""
    layout: Literal["packed"] | None = None
    """packed: the graph computes without padding. It runs on CUDA only, and not with CUDA graphs."""
    parity: float | None = None
    """Mean Kendall tau-b with the source model on the parity set, from -1 to 1; None: not measured."""
    speed: float | None = None
    """Pairs per second on the exporting machine, as a multiple of the reference graph's; None: not measured."""

    def runs(self, engine: Engine) -> bool:
        """Return whether the graph was made for an engine."""
        precision = "int8" if self.precision in _BELOW_INT8 else self.precision
        matches = self.provider in (None, engine.provider.value) and precision == engine.precision.value
        return matches and not (self.layout == "packed" and engine.cuda_graphs)


class Manifest(BaseModel):
    """Everything that the server needs to know about a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Version of this format. A server rejects versions that it does not know."""
    name: str = Field(min_length=1)
    """Default name of the model in requests."""
    source: str
    """Hub id, or name of the folder, that the model was exported from."""
    revision: str = ""
    """Commit of the hub repository; empty for a local folder."""
    architecture: str = ""
    """First entry of `architectures` in config.json, such as BertForSequenceClassification."""
    max_tokens: int = Field(ge=MIN_TOKENS, le=MAX_TOKENS, strict=True)
    """Token limit of the model: maximum tokens of a pair, special tokens included."""
    pad_id: int = Field(ge=0, le=MAX_PAD_ID, strict=True)
    """Token id of padding."""
    activation: Activation = Activation.SIGMOID
    """Function from a logit to the default score."""
    calibration: Calibration | None = None
    """Curve from a logit to a probability; None: not calibrated."""
    template: Template | None = None
    """Text around query and document of a pair; None: the tokenizer's own pair format."""
    difference: tuple[Literal[0], Literal[1]] | tuple[Literal[1], Literal[0]] | None = None
    """For a graph with two logits per pair: the positions of the relevant label and of the other one. The score is
    their difference. None: the graph has one logit per pair."""
    graph_activation: GraphActivation | None = None
    """Activation at the end of the graph, which the server inverts. None: the graph returns logits."""
    variants: tuple[Variant, ...] = Field(min_length=1)
    """Graphs of the bundle, the reference graph first."""
    files: dict[str, str]
    """sha256, in hex, of each file by its name relative to the bundle's folder. Empty for a hub folder."""
    verdict: Literal["passed", "drift allowed"] | None = None
    """Outcome of the comparison with the source model, as in report.json; None: not compared."""
    recipe: dict[str, Any] = {}
    """Versions and options of the export."""

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not is_model_name(name, _MAX_NAME_CHARS):
            raise ValueError(
                f"give 1 to {_MAX_NAME_CHARS} printable characters, without spaces at the ends; it is in log lines, "
                "metrics and error messages"
            )
        return name

    @field_validator("files")
    @classmethod
    def _inside_the_bundle(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name} is outside the bundle")
        return files

    @property
    def takes_instruction(self) -> bool:
        """True if a request may replace the instruction of the template."""
        return self.template is not None and self.template.takes_instruction

    @property
    def output_form(self) -> OutputForm:
        """Form of the output of all graphs."""
        return OutputForm(difference=self.difference, activation=self.graph_activation)

    @property
    def template_origin(self) -> str:
        """Origin of `template`, or the reason for having none; empty in bundles of version 0.1 and hub folders."""
        return str(self.recipe.get("template_origin", ""))

    @property
    def shares_prefixes(self) -> bool:
        """True if the graph computes equal beginnings of the rows of a batch once."""
        return bool(self.recipe.get("shares_prefixes"))

    @property
    def digest(self) -> str:
        """sha256, in hex, of everything that scores depend on, the digests of the files included.

        Equal digests mean equal scores.
        """
        return self._digest_without(_NOT_SCORING)

    @property
    def logits_digest(self) -> str:
        """sha256, in hex, of everything that logits depend on.

        It is part of the keys of derived graphs and tunings. A new calibration does not change it.
        """
        return self._digest_without(_NOT_SCORING | {"calibration"})

    def _digest_without(self, fields: set[str]) -> str:
        # Fields that are None are left out, so that a bundle keeps its digest when this class gets a new field.
        left_out: dict[str, Any] = dict.fromkeys(fields, True)
        left_out |= {"variants": {"__all__": _MEASURED}, "files": _TESTS}
        covered = self.model_dump(mode="json", exclude=left_out, exclude_none=True)
        return json_digest(covered)

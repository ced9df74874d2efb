"""Who takes part, in which setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from bench.folders import BUNDLE, CALIBRATION, FP32_GRAPH, INFINITY_FP32, INFINITY_INT8, INT8_GRAPH, QUANTISED, SOURCE
from bench.host import Host

OURS = "rerank-service"


class Kind(Enum):
    """How a contestant is run."""

    GRPC = "gRPC"
    REST = "REST"
    RUNNER = "in process"
    INFINITY = "served"


class Use(Enum):
    """What a contestant's figures are compared as."""

    OURS = "ours"
    BARE = "bare"
    AS_USERS_DO = "as its users run it"
    """Defaults, a call a request."""
    AT_ITS_BEST = "at its best"
    """The best batch size found, all pairs in one call where there is such a call."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One setting of one engine."""

    name: str
    peer: str
    """Its environment; of ours too, where it is the project's own."""
    kind: Kind
    use: Use
    precision: str = ""
    """Empty where the server says so itself."""
    runner: str = ""
    """Module of runners/."""
    load: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What its runner is told beside the model."""
    model: str = SOURCE
    """Folder of the model, below that of bench.model."""
    arguments: Sequence[str] = ()
    """Of a served peer's command."""

    @property
    def slug(self) -> str:
        """For file names."""
        return f"{self.name}-{self.precision}-{self.use.name}".lower().replace(" ", "-").replace("_", "-")

    @property
    def is_tuned(self) -> bool:
        """Whether its best batch size is looked for."""
        return self.use in (Use.AT_ITS_BEST, Use.BARE)


def contestants(models: Path, host: Host) -> list[Contestant]:
    """All, ours first."""
    return [*_ours(), *_sentence_transformers(models, host), *_infinity(), *_in_process(host)]


def _ours() -> list[Contestant]:
    return [
        Contestant("rerank-service over gRPC", OURS, Kind.GRPC, Use.OURS, model=BUNDLE),
        Contestant("rerank-service over REST", OURS, Kind.REST, Use.OURS, model=BUNDLE),
        Contestant("its bare engine", OURS, Kind.RUNNER, Use.BARE, runner="bare", model=BUNDLE),
    ]


def _sentence_transformers(models: Path, host: Host) -> list[Contestant]:
    def one(name: str, use: Use, precision: str, backend: str, kwargs: Mapping[str, Any], **more: Any) -> Contestant:
        together = use is Use.AT_ITS_BEST
        load = {"backend": backend, "model_kwargs": kwargs, "together": together, **more}
        runner = "sentence_transformers"
        return Contestant(
            f"sentence-transformers {name}", "sentence-transformers", Kind.RUNNER, use, precision, runner, load
        )

    onnx = {"file_name": FP32_GRAPH}
    has_bf16 = {"amx_bf16", "avx512_bf16"} & set(host.features)
    bf16_hint = {"ov_config": {"INFERENCE_PRECISION_HINT": "bf16"}} if has_bf16 else {}
    quantised = {"calibration": str(models / CALIBRATION), "quantised": str(models / QUANTISED)}
    int8_file = {"file_name": "openvino_model_qint8_quantized.xml"}
    return [
        one("torch", Use.AS_USERS_DO, "fp32", "torch", {}),
        one("ONNX", Use.AS_USERS_DO, "fp32", "onnx", onnx),
        one("torch", Use.AT_ITS_BEST, "fp32", "torch", {}),
        one("torch", Use.AT_ITS_BEST, "bf16", "torch", {"dtype": "bfloat16"}),
        one("ONNX", Use.AT_ITS_BEST, "fp32", "onnx", onnx),
        one("ONNX", Use.AT_ITS_BEST, "int8", "onnx", {"file_name": INT8_GRAPH}),
        one("OpenVINO", Use.AT_ITS_BEST, "bf16" if has_bf16 else "fp32", "openvino", bf16_hint),
        one("OpenVINO", Use.AT_ITS_BEST, "int8", "openvino", int8_file, **quantised),
    ]


def _infinity() -> list[Contestant]:
    def one(engine: str, precision: str, use: Use, model: str) -> Contestant:
        arguments = ("--engine", engine)
        return Contestant(
            f"Infinity {engine}", "infinity", Kind.INFINITY, use, precision, model=model, arguments=arguments
        )

    return [
        one("torch", "fp32", Use.AS_USERS_DO, SOURCE),
        one("optimum", "fp32", Use.AT_ITS_BEST, INFINITY_FP32),
        one("optimum", "int8", Use.AT_ITS_BEST, INFINITY_INT8),
    ]


def _in_process(host: Host) -> list[Contestant]:
    return [
        Contestant(name, peer, Kind.RUNNER, Use.AT_ITS_BEST, precision, peer, {"graph": graph, "threads": host.cores})
        for name, peer in (("fastembed", "fastembed"), ("FlashRank", "flashrank"))
        for precision, graph in (("fp32", FP32_GRAPH), ("int8", INT8_GRAPH))
    ]

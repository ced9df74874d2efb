"""Systems of the benchmark: configurations of this server, of its engine and of peers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from bench.host import Host
from bench.model_folders import (
    BUNDLE,
    CALIBRATION,
    FP32_GRAPH,
    INFINITY_FP32,
    INFINITY_INT8,
    INT8_GRAPH,
    QUANTISED,
    SOURCE,
)

OURS = "rerank-service"


class Kind(Enum):
    """Interface through which a system is measured."""

    GRPC = "gRPC"
    REST = "REST"
    RUNNER = "in process"
    INFINITY = "served"


class Use(Enum):
    """Kind of configuration that a comparison refers to."""

    OURS = "ours"
    BARE = "bare"
    AS_USERS_DO = "as its users run it"
    """Default options, one call per request."""
    AT_ITS_BEST = "at its best"
    """Best batch size found, and all pairs in one call if there is such a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One configuration of this server or of a peer."""

    name: str
    peer: str
    """Name of the environment; `OURS` for the project's own."""
    kind: Kind
    use: Use
    precision: str = ""
    """Empty if the server reports it."""
    runner: str = ""
    """Module in runners/ for `Kind.RUNNER`."""
    load: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Options of the runner's load message, beside the model."""
    model: str = SOURCE
    """Folder of the model, below the output folder of bench.model."""
    arguments: Sequence[str] = ()
    """Command-line arguments of a served peer."""

    @property
    def slug(self) -> str:
        """Name for files."""
        return f"{self.name}-{self.precision}-{self.use.name}".lower().replace(" ", "-").replace("_", "-")

    @property
    def is_tuned(self) -> bool:
        """True if the benchmark searches its best batch size."""
        return self.use in (Use.AT_ITS_BEST, Use.BARE)


def all_systems(models: Path, host: Host) -> list[System]:
    """Return all systems, ours first. `models` is the output folder of bench.model."""
    return [*_ours(), *_sentence_transformers(models, host), *_infinity(), *_in_process(host)]


def _ours() -> list[System]:
    return [
        System(name="rerank-service over gRPC", peer=OURS, kind=Kind.GRPC, use=Use.OURS, model=BUNDLE),
        System(name="rerank-service over REST", peer=OURS, kind=Kind.REST, use=Use.OURS, model=BUNDLE),
        System(name="its bare engine", peer=OURS, kind=Kind.RUNNER, use=Use.BARE, runner="bare", model=BUNDLE),
    ]


def _sentence_transformers(models: Path, host: Host) -> list[System]:
    def system(name: str, use: Use, precision: str, backend: str, kwargs: Mapping[str, Any], **more: Any) -> System:
        together = use is Use.AT_ITS_BEST
        load = {"backend": backend, "model_kwargs": kwargs, "together": together, **more}
        return System(
            name=f"sentence-transformers {name}",
            peer="sentence-transformers",
            kind=Kind.RUNNER,
            use=use,
            precision=precision,
            runner="sentence_transformers",
            load=load,
        )

    onnx = {"file_name": FP32_GRAPH}
    has_bf16 = {"amx_bf16", "avx512_bf16"} & set(host.features)
    bf16_hint = {"ov_config": {"INFERENCE_PRECISION_HINT": "bf16"}} if has_bf16 else {}
    quantised = {"calibration": str(models / CALIBRATION), "quantised": str(models / QUANTISED)}
    int8_file = {"file_name": "openvino_model_qint8_quantized.xml"}
    return [
        system("torch", Use.AS_USERS_DO, "fp32", "torch", {}),
        system("ONNX", Use.AS_USERS_DO, "fp32", "onnx", onnx),
        system("torch", Use.AT_ITS_BEST, "fp32", "torch", {}),
        system("torch", Use.AT_ITS_BEST, "bf16", "torch", {"dtype": "bfloat16"}),
        system("ONNX", Use.AT_ITS_BEST, "fp32", "onnx", onnx),
        system("ONNX", Use.AT_ITS_BEST, "int8", "onnx", {"file_name": INT8_GRAPH}),
        system("OpenVINO", Use.AT_ITS_BEST, "bf16" if has_bf16 else "fp32", "openvino", bf16_hint),
        system("OpenVINO", Use.AT_ITS_BEST, "int8", "openvino", int8_file, **quantised),
    ]


def _infinity() -> list[System]:
    def system(engine: str, precision: str, use: Use, model: str) -> System:
        return System(
            name=f"Infinity {engine}",
            peer="infinity",
            kind=Kind.INFINITY,
            use=use,
            precision=precision,
            model=model,
            arguments=("--engine", engine),
        )

    return [
        system("torch", "fp32", Use.AS_USERS_DO, SOURCE),
        system("optimum", "fp32", Use.AT_ITS_BEST, INFINITY_FP32),
        system("optimum", "int8", Use.AT_ITS_BEST, INFINITY_INT8),
    ]


def _in_process(host: Host) -> list[System]:
    return [
        System(
            name=name,
            peer=peer,
            kind=Kind.RUNNER,
            use=Use.AT_ITS_BEST,
            precision=precision,
            runner=peer,
            load={"graph": graph, "threads": host.cores},
        )
        for name, peer in (("fastembed", "fastembed"), ("FlashRank", "flashrank"))
        for precision, graph in (("fp32", FP32_GRAPH), ("int8", INT8_GRAPH))
    ]

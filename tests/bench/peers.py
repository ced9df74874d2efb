"""Configurations of the peers: each peer's documented settings for a CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.host import Host
from bench.model_folders import (
    CALIBRATION,
    FP32_GRAPH,
    INFINITY_FP32,
    INFINITY_INT8,
    INT8_GRAPH,
    LOGIT_SCORE,
    QUANTISED,
    SOURCE,
)
from bench.systems import Kind, System, Use

NO_LINUX_WHEEL = (
    "flash-rerank 0.2.0 has wheels for Windows only (cp39-abi3-win_amd64) and no source distribution, "
    "so pip finds no version for Linux"
)
"""Why flash-rerank does not run here."""
NO_SOURCE = "give the model's folder (STARTER=…), which sentence-transformers loads with its own code"
"""Why sentence-transformers cannot run the bundled model."""
NO_GENERATOR = (
    "optimum-onnx 0.1.0 takes the folder of a text generator with LogitScore for a SentenceTransformer and does not "
    "export it (Unknown task: text-generation)"
)
"""Why sentence-transformers has no ONNX graph of a text generator."""
EMULATED_BF16 = (
    "this processor has no instructions for bf16: torch emulates them, and ranked 3 to 9 documents per second where "
    "fp32 ranked 20 to 65 (Intel Xeon with AMX hidden, 2 cores, 2026-11-26)"
)
"""Why torch is not measured in bf16 on each processor: it would take most of the time of a benchmark."""


def peers_of_random_model(models: Path, host: Host) -> list[System]:
    """Return the systems that run the model with random weights. `models` is the output folder of bench.model."""
    return [*_sentence_transformers(models, host), *_infinity(), *_in_process(host), _flash_rerank()]


def peers_of_bundled_model(source: Path | None, host: Host) -> list[System]:
    """Return the systems that run the bundled model: only sentence-transformers loads a model with code of its own.

    `source` is the folder in the form of the Hugging Face hub, with that code.
    """
    uses: tuple[tuple[Use, str, Mapping[str, Any]], ...] = (
        (Use.AS_USERS_DO, "fp32", {}),
        (Use.AT_ITS_BEST, "fp32", {}),
        (Use.AT_ITS_BEST, "bf16", _BF16),
    )
    return [
        _sentence_transformer(
            "torch, the model's own code",
            use,
            precision,
            "torch",
            kwargs,
            model=str(source or ""),
            cannot_run=(_no_bf16(host) if precision == "bf16" else "") if source else NO_SOURCE,
            trust_remote_code=True,
        )
        for use, precision, kwargs in uses
    ]


_GROUPS = (32, 128)
_BF16: Mapping[str, Any] = {"dtype": "bfloat16"}
_BF16_FEATURES = {"amx_bf16", "avx512_bf16"}


def _sentence_transformer(
    name: str,
    use: Use,
    precision: str,
    backend: str,
    kwargs: Mapping[str, Any],
    *,
    model: str = SOURCE,
    cannot_run: str = "",
    **more: Any,
) -> System:
    load = {"backend": backend, "model_kwargs": kwargs, "together": use is Use.AT_ITS_BEST, **more}
    return System(
        name=f"sentence-transformers {name}",
        peer="sentence-transformers",
        kind=Kind.RUNNER,
        use=use,
        precision=precision,
        runner="sentence_transformers",
        load=load,
        model=model,
        cannot_run=cannot_run,
    )


def _no_bf16(host: Host) -> str:
    """Return why torch is not measured in bf16; empty if the processor has instructions for it."""
    return "" if _BF16_FEATURES & set(host.features) else EMULATED_BF16


def _sentence_transformers(models: Path, host: Host) -> list[System]:
    system = _sentence_transformer
    onnx = {"file_name": FP32_GRAPH}
    no_onnx = NO_GENERATOR if (models / SOURCE / LOGIT_SCORE).is_dir() else ""
    has_bf16 = _BF16_FEATURES & set(host.features)
    bf16_hint = {"ov_config": {"INFERENCE_PRECISION_HINT": "bf16"}} if has_bf16 else {}
    quantised = {"calibration": str(models / CALIBRATION), "quantised": str(models / QUANTISED)}
    int8_file = {"file_name": "openvino_model_qint8_quantized.xml"}
    return [
        system("torch", Use.AS_USERS_DO, "fp32", "torch", {}),
        system("ONNX", Use.AS_USERS_DO, "fp32", "onnx", onnx, cannot_run=no_onnx),
        system("torch", Use.AT_ITS_BEST, "fp32", "torch", {}),
        system("torch", Use.AT_ITS_BEST, "bf16", "torch", _BF16, cannot_run=_no_bf16(host)),
        system("ONNX", Use.AT_ITS_BEST, "fp32", "onnx", onnx, cannot_run=no_onnx),
        system("ONNX", Use.AT_ITS_BEST, "int8", "onnx", {"file_name": INT8_GRAPH}, cannot_run=no_onnx),
        system("OpenVINO", Use.AT_ITS_BEST, "bf16" if has_bf16 else "fp32", "openvino", bf16_hint),
        system("OpenVINO static", Use.AT_ITS_BEST, "int8", "openvino", int8_file, **quantised),
        *(system(f"OpenVINO dynamic {size}", Use.AT_ITS_BEST, "int8", "openvino", _dynamic(size)) for size in _GROUPS),
    ]


def _dynamic(group_size: int) -> Mapping[str, Any]:
    """Return the arguments for weights compressed by NNCF, whose activations OpenVINO quantises while it runs.

    `quantization_config` is optimum-intel's weight-only quantisation. A group of activations has one scale; 32 is
    OpenVINO's default.
    """
    return {
        "quantization_config": {"bits": 8},
        "ov_config": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": str(group_size)},
    }


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


def _flash_rerank() -> System:
    return System(
        name="flash-rerank",
        peer="flash-rerank",
        kind=Kind.RUNNER,
        use=Use.AT_ITS_BEST,
        precision="fp32",
        cannot_run=NO_LINUX_WHEEL,
    )

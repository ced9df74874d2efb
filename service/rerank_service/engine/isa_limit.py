"""Instruction sets that the operator hides from oneDNN, the library of matrix products in OpenVINO."""

from collections.abc import Mapping

_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables of oneDNN, the first one that is set counts: the newest instruction set that it may use
(oneDNN, "CPU Dispatcher Control"). It ignores other values than those below."""
_AMX = frozenset({"amx_tile", "amx_bf16", "amx_int8", "amx_fp16"})
_BF16 = _AMX | {"avx512_bf16"}
_AVX512_VNNI = _BF16 | {"avx512_vnni"}
_VNNI = _AVX512_VNNI | {"avx_vnni"}
_HIDDEN = {
    **dict.fromkeys(("SSE41", "AVX", "AVX2", "AVX512_CORE"), _VNNI),
    **dict.fromkeys(("AVX2_VNNI", "AVX2_VNNI_2"), _AVX512_VNNI),
    "AVX512_CORE_VNNI": _BF16,
    **dict.fromkeys(("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512"), _AMX),
}
"""Features that each limit hides, by their Linux names."""


def hidden_features(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the processor features, by their Linux names, that must not be used with these environment variables."""
    return _HIDDEN.get(_limit(environment)[1].upper(), frozenset())


def limit_note(environment: Mapping[str, str]) -> str:
    """Return ` (with ONEDNN_MAX_CPU_ISA=AVX2)` if a variable hides features; empty if none does."""
    name, value = _limit(environment)
    return f" (with {name}={value})" if hidden_features(environment) else ""


def _limit(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable that counts, and its value; an empty value if none is set."""
    return next(((name, environment[name]) for name in _VARIABLES if environment.get(name)), (_VARIABLES[0], ""))

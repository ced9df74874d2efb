"""Instruction sets that the operator hides from oneDNN, the library of matrix products in OpenVINO."""

from collections.abc import Mapping

VARIABLE = "ONEDNN_MAX_CPU_ISA"
"""Environment variable of oneDNN: the newest instruction set that it may use (oneDNN, "CPU Dispatcher Control")."""
_AMX = frozenset({"amx_tile", "amx_bf16", "amx_int8", "amx_fp16"})
_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
_WITHOUT_AMX = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512")


def hidden_features(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the processor features, by their Linux names, that must not be used with these environment variables."""
    limit = environment.get(VARIABLE, "").upper()
    if limit in _WITHOUT_BF16:
        return _AMX | {"avx512_bf16"}
    return _AMX if limit in _WITHOUT_AMX else frozenset()

"""Processor features that ONEDNN_MAX_CPU_ISA hides."""

import pytest

from rerank_service.engine.isa_limit import hidden_features


@pytest.mark.parametrize(
    ("limit", "hides_amx", "hides_bf16"),
    [
        (None, False, False),
        ("", False, False),
        ("DEFAULT", False, False),
        ("AVX512_CORE_AMX", False, False),
        ("AVX512_CORE_BF16", True, False),
        ("AVX512_CORE_FP16", True, False),
        ("AVX512_CORE_VNNI", True, True),
        ("avx512_core_vnni", True, True),
        ("AVX2", True, True),
    ],
)
def test_a_limit_hides_newer_instructions(limit: str | None, hides_amx: bool, hides_bf16: bool) -> None:
    """The server must not choose bf16 where oneDNN may only emulate it."""
    hidden = hidden_features({} if limit is None else {"ONEDNN_MAX_CPU_ISA": limit})
    assert ("amx_bf16" in hidden, "avx512_bf16" in hidden) == (hides_amx, hides_bf16)
    assert "avx512_vnni" not in hidden

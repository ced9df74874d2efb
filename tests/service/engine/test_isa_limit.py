"""Processor features that ONEDNN_MAX_CPU_ISA hides."""

import pytest

from rerank_service.engine.isa_limit import hidden_features, limit_note


@pytest.mark.parametrize(
    ("limit", "hidden"),
    [
        (None, ""),
        ("", ""),
        ("DEFAULT", ""),
        ("bogus", ""),
        (" AVX2", ""),  # oneDNN ignores it as well
        ("AVX512_CORE_AMX", ""),
        ("AVX512_CORE_BF16", "amx_bf16"),
        ("AVX512_CORE_FP16", "amx_bf16"),
        ("AVX512_CORE_VNNI", "amx_bf16 avx512_bf16"),
        ("avx512_core_vnni", "amx_bf16 avx512_bf16"),
        ("AVX2_VNNI", "amx_bf16 avx512_bf16 avx512_vnni"),
        ("AVX512_CORE", "amx_bf16 avx512_bf16 avx512_vnni avx_vnni"),
        ("AVX2", "amx_bf16 avx512_bf16 avx512_vnni avx_vnni"),
    ],
)
def test_a_limit_hides_newer_instructions(limit: str | None, hidden: str) -> None:
    """The server must not choose bf16 or int8 where oneDNN may only emulate it."""
    features = hidden_features({} if limit is None else {"ONEDNN_MAX_CPU_ISA": limit})
    assert features & {"amx_bf16", "avx512_bf16", "avx512_vnni", "avx_vnni"} == set(hidden.split())


def test_the_older_name_of_the_variable_counts() -> None:
    """If the newer one is not set, or is empty, as in oneDNN."""
    assert "avx512_vnni" in hidden_features({"DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": ""})
    assert not hidden_features({"DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "DEFAULT"})


def test_note_names_the_variable() -> None:
    """The processor has the instructions: the reason is the setting."""
    assert limit_note({"DNNL_MAX_CPU_ISA": "avx2"}) == " (with DNNL_MAX_CPU_ISA=avx2)"
    assert limit_note({"ONEDNN_MAX_CPU_ISA": "bogus"}) == ""

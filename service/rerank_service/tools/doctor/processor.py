"""Checks of the processor: instruction sets that make some engines faster."""

from collections.abc import Iterator

from rerank_service.engine.host import Cpu
from rerank_service.tools.doctor.finding import Finding, ok, slow

BF16_FEATURES = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
"""Instructions for products in bf16: on Intel, on Intel and AMD, and on Arm."""
INT8_FEATURES = frozenset({"amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp"})
"""Instructions for products in int8, on Intel, AMD and Arm."""
_FP32_FEATURES = frozenset({"avx512f", "avx2", "asimd", "sve"})


def processor_findings(cpu: Cpu) -> Iterator[Finding]:
    """Yield the name of the processor, and the instructions for fp32, bf16 and int8 that it has."""
    yield ok("processor", cpu.name)
    if not cpu.features:
        yield ok("instructions", "not known on this system")
        return
    yield _instructions(cpu, "fp32", _FP32_FEATURES, "use a processor with AVX2 or AVX-512, or another type of VM")
    yield _instructions(
        cpu, "bf16", BF16_FEATURES, "for bf16, use Intel Xeon from the 4th generation, AMD Zen 4 or Arm with bf16"
    )
    yield _instructions(
        cpu, "int8", INT8_FEATURES, "for int8, use a processor with AVX-512 VNNI, AVX-VNNI, AMX or Arm i8mm"
    )


def _instructions(cpu: Cpu, precision: str, features: frozenset[str], fix: str) -> Finding:
    name, found = f"{precision} instructions", sorted(features & cpu.features)
    return ok(name, ", ".join(found)) if found else slow(name, "none: the processor has no fast ones", fix)

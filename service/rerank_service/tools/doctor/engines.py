"""Checks of the engines: which ones work on this machine, and why others do not."""

from collections.abc import Iterator

from rerank_service.engine.available import AvailableEngines, reasons
from rerank_service.engine.host import Cpu
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.installation import install_command
from rerank_service.tools.doctor.finding import Finding, ok, slow
from rerank_service.tools.doctor.processor import BF16_FEATURES


def engine_findings(available: AvailableEngines, cpu: Cpu, *, has_gpu: bool) -> Iterator[Finding]:
    """Yield the engines that work, and a reason for each one that does not.

    An engine that does not work is slow if the machine has the hardware for it. With CUDA, engines of the processor are
    not missed. `has_gpu`: there is an NVIDIA driver.
    """
    yield ok("engines", f"work here: {', '.join(map(str, available.engines))}")
    skipped = available.skipped
    lacks_bf16 = all(engine.precision is not Precision.BF16 for engine in available.engines)
    lacks_cuda = all(engine.provider is not Provider.CUDA for engine in available.engines)
    for reason in reasons(skipped):
        yield ok("engines", f"do not work here: {reason}")
    if lacks_bf16 and lacks_cuda and BF16_FEATURES & cpu.features:
        yield slow(
            "bf16",
            "the processor has instructions for bf16, and no engine uses them",
            f"in a new environment: {install_command('openvino')}",
        )
    if lacks_cuda and has_gpu:
        yield slow(
            "GPU",
            "this machine has an NVIDIA driver, and no engine uses the GPU",
            f"remove the reason above, or in a new environment: {install_command('gpu')}",
        )

"""Description of the machine."""

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from rerank_service.engine.host import usable_cores

_CPUINFO = Path("/proc/cpuinfo")
_FEATURES = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "asimddp", "bf16")
"""Processor features that affect the speed of models."""
_MODEL_NUMBERS = re.compile(r"^(?:cpu family|model|stepping)\s*:\s*(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Host:
    """Properties of a machine that affect the figures."""

    cpu: str
    """Name of the processor, with family, model and stepping if known: some names cover a whole product line."""
    features: tuple[str, ...]
    cores: int
    python: str

    @property
    def has_amx(self) -> bool:
        """True if the processor has instructions for bf16 matrix products (AMX)."""
        return "amx_bf16" in self.features

    @property
    def slug(self) -> str:
        """Name for files."""
        return f"{re.sub(r'[^a-z0-9]+', '-', self.cpu.lower()).strip('-')}-{self.cores}-cores"


def read_host() -> Host:
    """Return the description of this machine."""
    return host_of(_CPUINFO.read_text() if _CPUINFO.exists() else "", usable_cores())


def host_of(cpuinfo: str, cores: int) -> Host:
    """Return the description of the machine with this /proc/cpuinfo."""
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    numbers = "/".join(_MODEL_NUMBERS.findall(cpuinfo)[:3])
    cpu = " ".join((name[1] if name else platform.processor() or platform.machine()).split())
    available = set(flags[1].split()) if flags else set()
    return Host(
        cpu=f"{cpu} ({numbers})" if numbers else cpu,
        features=tuple(feature for feature in _FEATURES if feature in available),
        cores=cores,
        python=platform.python_version(),
    )

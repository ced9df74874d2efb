"""The machine that is measured."""

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from rerank_service.engine.host import usable_cores

_CPUINFO = Path("/proc/cpuinfo")
_FEATURES = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "asimddp", "bf16")
"""Those that arithmetic for models depends on."""
_MODEL_NUMBERS = re.compile(r"^(?:cpu family|model|stepping)\s*:\s*(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Host:
    """What figures depend on."""

    cpu: str
    """As the processor calls itself, with family, model and stepping where the name is a whole product line's."""
    features: tuple[str, ...]
    cores: int
    python: str

    @property
    def has_amx(self) -> bool:
        """Whether the processor multiplies bf16 matrices by itself."""
        return "amx_bf16" in self.features

    @property
    def slug(self) -> str:
        """For file names."""
        return f"{re.sub(r'[^a-z0-9]+', '-', self.cpu.lower()).strip('-')}-{self.cores}-cores"


def read_host() -> Host:
    """This machine."""
    return host_of(_CPUINFO.read_text() if _CPUINFO.exists() else "", usable_cores())


def host_of(cpuinfo: str, cores: int) -> Host:
    """The machine that /proc/cpuinfo describes."""
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    numbers = "/".join(_MODEL_NUMBERS.findall(cpuinfo)[:3])
    cpu = " ".join((name[1] if name else platform.processor() or platform.machine()).split())
    has = set(flags[1].split()) if flags else set()
    return Host(
        cpu=f"{cpu} ({numbers})" if numbers else cpu,
        features=tuple(feature for feature in _FEATURES if feature in has),
        cores=cores,
        python=platform.python_version(),
    )

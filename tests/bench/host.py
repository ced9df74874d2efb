"""Description of the machine."""

import platform
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rerank_service.engine.host import usable_cores

_CPUINFO = Path("/proc/cpuinfo")
_FEATURES = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "asimddp", "bf16")
"""Processor features that affect the speed of models."""
_NOISE = re.compile(r"\((?:r|tm)\)|\b(?:processor|cpu)\b|@ [\d.]+ghz")
"""Parts of a processor's name, in lower case, that file names leave out."""
_MODEL_NUMBERS = re.compile(r"^(?:cpu family|model|stepping)\s*:\s*(\d+)$", re.MULTILINE)


class ProcessorKind(Enum):
    """Kind of processor that a page of results stands for. The goals depend on it."""

    INTEL_AMX = "Intel with AMX"
    INTEL = "Intel without AMX"
    AMD = "AMD"
    OTHER = "other processor"


@dataclass(frozen=True, slots=True)
class Host:
    """Properties of a machine that affect the figures."""

    cpu: str
    """Name of the processor, with family, model and stepping if known: some names cover a whole product line."""
    features: tuple[str, ...]
    cores: int
    python: str
    hidden: tuple[str, ...] = ()
    """Features that the processor has and the benchmark hides (hidden_amx.py)."""

    @property
    def has_amx(self) -> bool:
        """True if the processor has instructions for bf16 matrix products (AMX)."""
        return "amx_bf16" in self.features

    @property
    def has_only_vnni(self) -> bool:
        """True if int8 is fast (VNNI) and there is neither AMX nor fast bf16."""
        fast = {"avx512_vnni", "avx_vnni"} & set(self.features)
        return bool(fast) and not {"amx_bf16", "amx_int8", "avx512_bf16"} & set(self.features)

    @property
    def kind(self) -> ProcessorKind:
        """Kind of the processor, by vendor and features."""
        if "intel" in self.cpu.lower():
            return ProcessorKind.INTEL_AMX if self.has_amx else ProcessorKind.INTEL
        return ProcessorKind.AMD if "amd" in self.cpu.lower() else ProcessorKind.OTHER

    @property
    def slug(self) -> str:
        """Name for files: processor, with family, model and stepping, and cores; `without-amx` if AMX is hidden."""
        name = re.sub(r"[^a-z0-9]+", "-", _NOISE.sub(" ", self.cpu.lower())).strip("-")
        return f"{name}-{self.cores}-cores{'-without-amx' if self.hidden else ''}"


def read_host(hide: Collection[str] = ()) -> Host:
    """Return the description of this machine, without the features to hide."""
    return host_of(_CPUINFO.read_text() if _CPUINFO.exists() else "", usable_cores(), hide)


def host_of(cpuinfo: str, cores: int, hide: Collection[str] = ()) -> Host:
    """Return the description of the machine with this /proc/cpuinfo, without the features to hide."""
    name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    numbers = "/".join(_MODEL_NUMBERS.findall(cpuinfo)[:3])
    cpu = " ".join((name[1] if name else platform.processor() or platform.machine()).split())
    available = set(flags[1].split()) if flags else set()
    return Host(
        cpu=f"{cpu} ({numbers})" if numbers else cpu,
        features=tuple(feature for feature in _FEATURES if feature in available and feature not in hide),
        cores=cores,
        python=platform.python_version(),
        hidden=tuple(feature for feature in _FEATURES if feature in available and feature in hide),
    )

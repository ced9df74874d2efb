"""Hide AMX and bf16 instructions from this process and its children: `make bench NO_AMX=1`.

A machine with AMX then stands in for a processor with AVX-512 VNNI and nothing newer, such as Ice Lake. Two measures:

- Linux gives AMX only to a process that asks for it (arch_prctl, Documentation/arch/x86/xstate.rst). A seccomp filter
  refuses that request, so that every library that asks, as it must, computes without AMX. This includes MLAS of ONNX
  Runtime, which has no setting for it.
- Environment variables limit oneDNN (in torch and OpenVINO) and MKL to AVX-512 VNNI, which also hides avx512_bf16.
"""

import ctypes
import os
import platform
import struct
from collections.abc import MutableMapping

LIMITS = {
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
    "DNNL_MAX_CPU_ISA": "AVX512_CORE_VNNI",  # the name in older builds of oneDNN
    "MKL_ENABLE_INSTRUCTIONS": "AVX512_E1",  # AVX-512 with VNNI
}
"""Environment variables of the libraries, with the newest instructions that they may use."""
HIDDEN_FEATURES = ("amx_bf16", "amx_int8", "avx512_bf16")
"""Processor features that are hidden, as in /proc/cpuinfo."""

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ARCH_PRCTL = 158
_REQUEST_FEATURE = 0x1023
"""ARCH_REQ_XCOMP_PERM of asm/prctl.h: a request for an extended processor state, of which AMX is the only one."""
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
"""BPF instructions: load a word of the system call, compare, return (linux/bpf_common.h)."""
_ALLOW, _NOT_PERMITTED = 0x7FFF0000, 0x00050000 | 1
"""Results of a filter: run the call, or fail with EPERM (linux/seccomp.h)."""
_NUMBER_AT, _ARGUMENT_AT = 0, 16
"""Offsets of the number and of the low word of the first argument (struct seccomp_data)."""


class CannotHide(Exception):
    """AMX cannot be hidden on this machine; the message gives the reason."""


def hide_amx(environment: MutableMapping[str, str]) -> None:
    """Hide AMX and bf16 instructions from this process and its later children, until it ends.

    Libraries that are loaded already may have AMX: start a new program (exec) afterwards, which inherits both measures.

    Raises:
        CannotHide: not Linux on x86-64, or the kernel refuses the filter.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise CannotHide(f"AMX can be hidden on Linux with x86-64 only; this is {platform.platform()}")
    environment.update(LIMITS)
    _install(_program())


def _program() -> bytes:
    """Return the filter: six instructions of 8 bytes."""
    steps = (
        (_LOAD, 0, 0, _NUMBER_AT),
        (_EQUALS, 0, 3, _ARCH_PRCTL),
        (_LOAD, 0, 0, _ARGUMENT_AT),
        (_EQUALS, 0, 1, _REQUEST_FEATURE),
        (_RETURN, 0, 0, _NOT_PERMITTED),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("HBBI", *step) for step in steps)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def _install(program: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    filtered = _Program(len(program) // 8, program)
    calls = (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filtered), 0, 0),
    )
    for call in calls:
        if libc.prctl(*call) != 0:
            raise CannotHide(f"the kernel refuses to hide AMX: {os.strerror(ctypes.get_errno())}")

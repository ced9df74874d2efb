"""Damage to files, as disks, downloads and editors cause it."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]

FEW = settings(max_examples=max(1, settings.default.max_examples // 4)) if settings.default else settings()
"""Examples for tests that load a model in each: a quarter of those of the profile (tests/conftest.py)."""


def _at(content: bytes, share: float) -> int:
    return min(int(share * len(content)), max(0, len(content) - 1))


def _flip(share: float, bit: int) -> Damage:
    """Change one bit."""

    def damage(content: bytes) -> bytes:
        at = _at(content, share)
        return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]

    return damage


def _insert(share: float, more: bytes) -> Damage:
    return lambda content: content[: _at(content, share)] + more + content[_at(content, share) :]


def _remove(share: float, count: int) -> Damage:
    return lambda content: content[: _at(content, share)] + content[_at(content, share) + count :]


def _overwrite(share: float, block: bytes) -> Damage:
    return lambda content: content[: _at(content, share)] + block + content[_at(content, share) + len(block) :]


_SHARE = st.floats(0, 1)
_DAMAGES = st.one_of(
    st.builds(_flip, _SHARE, st.integers(0, 7)),
    st.builds(lambda share: lambda content: content[: _at(content, share)], _SHARE),
    st.builds(_insert, _SHARE, st.binary(min_size=1, max_size=9)),
    st.builds(_remove, _SHARE, st.integers(1, 9)),
    st.builds(_overwrite, _SHARE, st.sampled_from([b"\0" * 512, b"\xff" * 4, b"\0" * 8, b"9" * 20])),
)


def _all(damages: list[Damage]) -> Damage:
    def damage(content: bytes) -> bytes:
        for each in damages:
            content = each(content) if content else content
        return content

    return damage


damages = st.lists(_DAMAGES, min_size=1, max_size=3).map(_all)
"""A few flipped bits, a cut, inserted, removed or overwritten bytes."""

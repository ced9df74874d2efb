"""Compare the responses of this version with those recorded from an earlier one."""

from collections.abc import Iterator
from typing import Any

import pytest

from rerank_service.engine.kinds import Precision
from rerank_service.models.golden_check import TOLERANCE

_NOT_PROMISED = {"id", "created", "message", "detail", "digest", "padded_tokens", "timing"}
"""Fields whose value depends on the call, on the time, on batches, or that are texts for people."""


def differences(recorded: Any, now: Any, place: str = "response") -> Iterator[str]:
    """Yield a line for each part of a recorded value that a caller no longer gets. New fields of objects are allowed.

    Numbers with a fraction are scores: they may differ by the tolerance of fp32.
    """
    if isinstance(recorded, dict):
        yield from _differences_of_objects(recorded, now, place)
    elif isinstance(recorded, list):
        if not isinstance(now, list) or len(now) != len(recorded):
            yield f"{place} was {recorded!r} and is {now!r}"
            return
        for at, (old, new) in enumerate(zip(recorded, now, strict=True)):
            yield from differences(old, new, f"{place}[{at}]")
    elif isinstance(recorded, float) and isinstance(now, float):
        if now != pytest.approx(recorded, abs=TOLERANCE[Precision.FP32]):
            yield f"{place} was {recorded} and is {now}"
    elif now != recorded or type(now) is not type(recorded):
        yield f"{place} was {recorded!r} and is {now!r}"


def _differences_of_objects(recorded: dict[str, Any], now: Any, place: str) -> Iterator[str]:
    if not isinstance(now, dict):
        yield f"{place} was an object and is {now!r}"
        return
    for name, value in recorded.items():
        if name not in now:
            yield f"{place}.{name} is missing; it was {value!r}"
        elif name not in _NOT_PROMISED:
            yield from differences(value, now[name], f"{place}.{name}")

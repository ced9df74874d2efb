"""Measure whether the time of a key check shows anything about the keys: `make key-timing`.

Two kinds of requests that the server must not tell apart are checked in random order, many times. Welch's t-test then
says whether their mean times differ by more than noise. The rule is that of dudect (Reparaz et al. 2017): the slowest
measurements are left out, because they are interrupts, and |t| above 4.5 is a leak.

The rows of right keys are shown for comparison and are no leak: who has a valid key may learn the position of this key
in the file. The branch prediction of the CPU shows it by about 0.05 µs.

No test runs this command, because its result depends on the load of the machine. tests/service/api/test_auth.py has the
property behind it: each check compares all keys, by digests of equal length.
"""

import argparse
import random
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.errors import Unauthenticated
from rerank_service.scheduling.caller import Caller

_KEYS = 200
_KEY_CHARS = 40
_KEPT = 0.9
"""Part of the measurements that counts: the fastest ones."""
_LEAK = 4.5

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """Two kinds of requests whose times must not differ."""

    title: str
    one: Headers
    other: Headers
    secret: bool = True
    """False: the sender has a valid key, so the difference is no secret."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The times of both kinds."""

    question: Question
    medians: tuple[float, float]
    """Nanoseconds."""
    t: float

    @property
    def leaks(self) -> bool:
        """Return True if the times differ by more than noise."""
        return self.question.secret and abs(self.t) > _LEAK


def questions(keys: Sequence[str]) -> list[Question]:
    """Return the pairs of requests for a server with these keys."""
    first, middle, last = keys[0], keys[len(keys) // 2], keys[-1]
    return [
        Question("wrong key: nothing in common, or all but the last character", _sent(_wrong()), _sent(_near(first))),
        Question("wrong key: like the first key, or like the last one", _sent(_near(first)), _sent(_near(last))),
        Question("wrong key: the first half in common, or nothing", _sent(_half(first)), _sent(_wrong())),
        Question("right key: the first, or the last one", _sent(first), _sent(last), secret=False),
        Question("right key: the first, or one in the middle", _sent(first), _sent(middle), secret=False),
        Question("wrong key: a name of a key, or random text", _sent("key-1".ljust(_KEY_CHARS, "0")), _sent(_wrong())),
        Question("control: the same wrong key twice", _sent(wrong := _wrong()), _sent(wrong)),
    ]


def _sent(key: str) -> Headers:
    return {"authorization": f"Bearer {key}"}


def _wrong() -> str:
    return secrets.token_hex(_KEY_CHARS // 2)


def _near(key: str) -> str:
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def _half(key: str) -> str:
    return key[: _KEY_CHARS // 2] + _wrong()[: _KEY_CHARS // 2]


def measure(keys: Keys, question: Question, samples: int, generator: random.Random) -> Finding:
    """Check both kinds in random order, and compare their times."""
    kinds = [0] * samples + [1] * samples
    generator.shuffle(kinds)
    times: tuple[list[int], list[int]] = ([], [])
    for kind in kinds:
        times[kind].append(_nanoseconds(keys, question.other if kind else question.one))
    one, other = (np.sort(each)[: int(samples * _KEPT)].astype(np.float64) for each in times)
    return Finding(question, (median(times[0]), median(times[1])), welch_t(one, other))


def _nanoseconds(keys: Keys, headers: Headers) -> int:
    began = time.perf_counter_ns()
    with suppress(Unauthenticated):
        keys.check(headers)
    return time.perf_counter_ns() - began


def welch_t(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Welch's t of two samples: the difference of their means in standard errors."""
    error = float(np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))
    return float(one.mean() - other.mean()) / error if error else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table. Return 1 if a time depends on the keys."""
    parser = argparse.ArgumentParser(prog="python -m torture.key_timing", description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=20_000, help="checks of each kind, default 20000")
    parser.add_argument("--seed", type=int, default=17, help="order of the checks, default 17")
    given = parser.parse_args(arguments)
    plain = [secrets.token_hex(_KEY_CHARS // 2) for _ in range(_KEYS)]
    keys = Keys(known=[KnownKey(digest(key), Caller(f"key-{number}")) for number, key in enumerate(plain)])
    generator = random.Random(given.seed)
    findings = [measure(keys, question, given.samples, generator) for question in questions(plain)]
    print(f"{_KEYS} keys, {given.samples} checks of each kind, seed {given.seed}; |t| above {_LEAK} is a leak\n")
    print(f"{'two kinds of requests':62}  {'median of each, µs':>18}  {'t':>6}")
    for finding in findings:
        one, other = (nanoseconds / 1000 for nanoseconds in finding.medians)
        print(f"{finding.question.title:62}  {one:8.2f}  {other:8.2f}  {finding.t:6.2f}{'  LEAK' * finding.leaks}")
    return int(any(finding.leaks for finding in findings))


if __name__ == "__main__":
    sys.exit(main())

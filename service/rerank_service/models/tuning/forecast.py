"""Forecast of the end of a full tuning, from the time of the passes that it has made."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from rerank_service.progress import STAGE_DETAIL
from rerank_service.quantities import counted

_Result = TypeVar("_Result")
_MINUTE = 60


class Forecast:
    """Reports the stages of a tuning, each with the time that is probably left.

    The unit is a pass: each of the pairs with which speed is measured is scored once. The forecast is the time of a
    pass so far, loading included, times the passes that are left. Faster engines make it too high at first.
    """

    def __init__(
        self, report: Callable[[str], None], passes: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock. `passes` is the planned number of each phase, in their order."""
        self._report, self._clock = report, clock
        self._left = dict(passes)
        self._began, self._done, self._stage = clock(), 0.0, ""
        self._phase = next(iter(passes))

    def stage(self, phase: str, text: str) -> None:
        """Report a new stage. Phases before its phase are over, whether or not they needed all of their passes."""
        for earlier in self._left:
            if earlier == phase:
                break
            self._left[earlier] = 0.0
        self._phase, self._stage = phase, text
        self._report(self._text())

    def passed(self, passes: float = 1.0) -> None:
        """Count passes that are done, and report the stage again. The first call reports the time of all passes."""
        is_first, self._done = not self._done, self._done + passes
        self._left[self._phase] = max(0.0, self._left[self._phase] - passes)
        if is_first:
            self._report(f"the tuning takes {about(self._clock() - self._began + self._seconds_left())}")
        self._report(self._text())

    def counted(self, measure: Callable[[], _Result]) -> Callable[[], _Result]:
        """Return a function that measures and counts one pass."""

        def measured() -> _Result:
            result = measure()
            self.passed()
            return result

        return measured

    def _text(self) -> str:
        left = f"{STAGE_DETAIL}{about(self._seconds_left())} left" if self._done else ""
        return self._stage + left

    def _seconds_left(self) -> float:
        return (self._clock() - self._began) / self._done * sum(self._left.values())


def about(seconds: float) -> str:
    """Return a duration in whole minutes: `about 3 minutes`."""
    minutes = round(seconds / _MINUTE)
    return f"about {counted(minutes, 'minute')}" if minutes else "less than a minute"

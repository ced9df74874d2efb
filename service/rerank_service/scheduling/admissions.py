"""The admission of each model, so that requests of one model never count against another."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rerank_service.scheduling.admission import Admission


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Limits for all live requests of one model."""

    documents: int
    tokens: float
    """Padded tokens that remain to be computed."""


def _ignore() -> None:
    """Do nothing."""


class Admissions:
    """Admission control of all models, by name. Used on the event loop only.

    A new version of a model continues with the admission of the version that it replaces.
    """

    def __init__(self, limits: LiveLimits, clock: Callable[[], float]) -> None:
        """`limits` are those of a model without limits of its own. `clock` is the event loop's."""
        self._limits = limits
        self._clock = clock
        self._draining = False
        self._models: dict[str, Admission] = {}
        self.on_close: Callable[[], None] = _ignore
        """Called by `close`."""

    def of(self, model: str) -> Admission:
        """Return the admission of a model, by its own name."""
        if model not in self._models:
            self._models[model] = self._open(self._limits)
        return self._models[model]

    def set_limits(self, model: str, limits: LiveLimits) -> None:
        """Set limits of a model's own. They hold for new requests."""
        self.of(model).set_limits(limits.documents, limits.tokens)

    def remove(self, model: str) -> None:
        """Forget the admission of a model that is served no more. One that is loaded again starts with a new one."""
        self._models.pop(model, None)

    def _open(self, limits: LiveLimits) -> Admission:
        admission = Admission(limits.documents, limits.tokens, self._clock)
        if self._draining:
            admission.close()
        return admission

    @property
    def live_requests(self) -> int:
        """Number of accepted requests of all models that are not finished yet."""
        return sum(admission.live_requests for admission in self._models.values())

    @property
    def backlog_seconds(self) -> float:
        """Seconds in which all lanes would finish the live requests of all models, if no other request arrives."""
        return sum(admission.backlog_seconds for admission in self._models.values())

    def close(self) -> None:
        """Reject all requests from now on. Accepted requests continue."""
        self._draining = True
        for admission in self._models.values():
            admission.close()
        self.on_close()

    async def drained(self) -> None:
        """Wait until no request is live. Call `close` before."""
        await asyncio.gather(*(admission.drained() for admission in self._models.values()))

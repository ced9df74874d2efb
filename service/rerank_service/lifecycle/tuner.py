"""Interface of the background tuning for the operations on models. `background_tuning.py` implements it."""

from typing import Protocol

from rerank_service.lifecycle.managed_model import ManagedModel


class Tuner(Protocol):
    """Looks for faster engines of loaded models. Used on the event loop only."""

    def add(self, managed: ManagedModel) -> None:
        """Tune a version that begins to serve, when the ones before it are tuned."""

    def retire(self, managed: ManagedModel) -> None:
        """Give up the tuning of a version that takes no more requests."""

    def tunes(self, managed: ManagedModel, /) -> bool:
        """Return True until the tuning of a version of a model has ended, also after it was given up."""

    async def ended(self, managed: ManagedModel) -> None:
        """Wait until no tuning uses a version of a model. An engine that is being loaded or derived is not stopped."""

    async def make_room(self) -> bool:
        """Give up the tuning that is running, tune its model later, and wait until its memory is free.

        Return False if no tuning is running.
        """


class NoTuner:
    """Tunes nothing: the server is starting, or the tuning is off."""

    def add(self, managed: ManagedModel) -> None:
        """Do nothing."""

    def retire(self, managed: ManagedModel) -> None:
        """Do nothing."""

    def tunes(self, _managed: ManagedModel, /) -> bool:
        """Return False."""
        return False

    async def ended(self, managed: ManagedModel) -> None:
        """Return at once."""

    async def make_room(self) -> bool:
        """Return False."""
        return False

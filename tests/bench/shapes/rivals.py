"""The settings of the peer that deserve all rounds: those that may be the fastest of their use."""

from bench.peer_targets import ranks_as_well
from bench.pool import Record
from bench.systems import Use

_MUCH_SLOWER = 0.7
"""Share of the speed of a faster setting below which more rounds would not change the order."""


class Rivals:
    """The settings that were measured, at each document length. Only the fastest of a use stands in a goal."""

    def __init__(self, ours: Record) -> None:
        self._ours = ours
        self._fastest: dict[tuple[Use, int], float] = {}

    def counts(self, record: Record) -> bool:
        """Return whether the speed of a setting counts: its rankings are good enough, or users run it so."""
        return record.system.use is Use.AS_USERS_DO or ranks_as_well(record, self._ours)

    def may_be_fastest(self, record: Record, tokens: int, speed: float) -> bool:
        """Return False if the speed of a setting does not count, or if another one is much faster."""
        fastest = self._fastest.get((record.system.use, tokens), 0.0)
        return self.counts(record) and speed >= _MUCH_SLOWER * fastest

    def add(self, record: Record, tokens: int, speed: float) -> None:
        """Note the documents per second of a setting, for documents of so many tokens."""
        if self.counts(record):
            key = record.system.use, tokens
            self._fastest[key] = max(speed, self._fastest.get(key, 0.0))

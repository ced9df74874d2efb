"""The criterion by which the ranking of an engine matches fp32, decided with as few queries as possible."""

from dataclasses import dataclass, replace

from rerank_service.models.tuning.gain_scale import GainScale
from rerank_service.models.tuning.ranking_change import BOUNDS, Logits, RankingChange, ranking_change

CLEAR_SHARE = 0.75
"""Share of each bound within which the result of a part of the queries is clear."""


@dataclass(frozen=True, slots=True)
class RankingComparison:
    """The logits of an engine and of fp32, for the queries compared so far."""

    queries: int
    """Number of queries in the set."""
    enough: int | None = None
    """Number of queries after which a clear result counts for the whole set; None: only the whole set counts."""
    references: tuple[Logits, ...] = ()
    """The logits of fp32 for each query compared so far."""
    others: tuple[Logits, ...] = ()
    """The logits of the engine for the same queries."""

    @property
    def compared(self) -> int:
        """Number of queries compared so far."""
        return len(self.references)

    @property
    def change(self) -> RankingChange | None:
        """The change over the compared queries; None before the first one."""
        return ranking_change(self.references, self.others) if self.compared else None

    @property
    def beyond(self) -> tuple[str, ...]:
        """A message for each bound that is exceeded, however well the remaining queries match.

        Empty if the bounds are kept on the other scale of `_changes`.
        """
        if not self.compared:
            return ()
        messages = [change.beyond() for change in self._changes(unseen=self.queries - self.compared)]
        return messages[0] if all(messages) else ()

    @property
    def passes(self) -> bool | None:
        """True if the ranking matches, False if it does not; None if that depends on the remaining queries."""
        if not self.queries or self.beyond:  # no query fits the token limit of the model, or a bound is exceeded
            return False
        return True if self.compared == self.queries or self._is_clear else None

    @property
    def _is_clear(self) -> bool:
        if self.enough is None or not self.compared or self.compared < self.enough:
            return False
        return not any(change.beyond(BOUNDS.times(CLEAR_SHARE)) for change in self._changes())

    def _changes(self, *, unseen: int = 0) -> tuple[RankingChange, ...]:
        """Return the change on the scale of the compared queries, and then, while queries remain, without a scale.

        Logits may have to be standardised because the compared queries, by chance, have similar documents. More queries
        can end that. It is not checked whether more queries can begin it, or change the values of the scale.
        """
        own = GainScale.of(self.references)
        scales = (own,) if self.compared == self.queries else tuple(dict.fromkeys((own, GainScale())))
        return tuple(ranking_change(self.references, self.others, unseen=unseen, scale=scale) for scale in scales)

    def with_query(self, reference: Logits, other: Logits) -> "RankingComparison":
        """Return the comparison with one more query."""
        return replace(self, references=(*self.references, reference), others=(*self.others, other))

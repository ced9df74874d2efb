"""Group the logits of a batch by the requests that own its pairs. Pure."""

from collections.abc import Callable, Iterable, Iterator

from rerank_service.scheduling.batch_run import BatchScored
from rerank_service.scheduling.submission import Scored, Submission, WaitingPair

Padded = Callable[[int], int]
"""Returns the tokens that a pair of a length takes alone, padding included."""


def parts_of_batch(batch: BatchScored, padded: Padded) -> Iterator[tuple[Submission, Scored]]:
    """Yield each owner of pairs in a batch with the logits of its pairs."""
    for owner, mine in _by_owner(zip(batch.entries, batch.logits, strict=True)):
        yield (
            owner,
            Scored(
                positions=[entry.position for entry, _ in mine],
                windows=[entry.pair.window for entry, _ in mine],
                logits=[logit for _, logit in mine],
                pairs=[entry.pair for entry, _ in mine],
                padded_tokens=batch.length * len(mine),
                own_tokens=sum(padded(len(entry.pair)) for entry, _ in mine),
                started=batch.started,
                ended=batch.ended,
            ),
        )


def parts_of_known(
    known: Iterable[tuple[WaitingPair, float]], padded: Padded, now: float
) -> Iterator[tuple[Submission, Scored]]:
    """Yield each owner of pairs that need not run with their logits, which another request's pairs were given."""
    for owner, mine in _by_owner(known):
        yield (
            owner,
            Scored(
                positions=[entry.position for entry, _ in mine],
                windows=[entry.pair.window for entry, _ in mine],
                logits=[logit for _, logit in mine],
                own_tokens=sum(padded(len(entry.pair)) for entry, _ in mine),
                started=now,
                ended=now,
                shared=len(mine),
            ),
        )


def _by_owner(
    scored: Iterable[tuple[WaitingPair, float]],
) -> Iterator[tuple[Submission, list[tuple[WaitingPair, float]]]]:
    groups: dict[Submission, list[tuple[WaitingPair, float]]] = {}
    for entry, logit in scored:
        groups.setdefault(entry.owner, []).append((entry, logit))
    yield from groups.items()

"""Group logits by the requests that own the pairs. Pure."""

from collections.abc import Callable, Iterable, Iterator

from rerank_service.scheduling.batch_run import BatchScored
from rerank_service.scheduling.submission import Scored, Submission, WaitingPair

Padded = Callable[[int], int]
"""Return the tokens of a pair of this length when it is padded alone."""


def parts_of_batch(batch: BatchScored, padded: Padded) -> Iterator[tuple[Submission, Scored]]:
    """Yield each owner of pairs in a batch that ran, with the logits of its pairs."""
    for owner, pairs in _by_owner(zip(batch.entries, batch.logits, strict=True)):
        yield (
            owner,
            Scored(
                indexes=[entry.index for entry, _ in pairs],
                windows=[entry.pair.window for entry, _ in pairs],
                logits=[logit for _, logit in pairs],
                pairs=[entry.pair for entry, _ in pairs],
                padded_tokens=batch.length * len(pairs),
                own_tokens=sum(padded(len(entry.pair)) for entry, _ in pairs),
                started=batch.started,
                ended=batch.ended,
            ),
        )


def parts_of_known(
    known: Iterable[tuple[WaitingPair, float]], padded: Padded, now: float
) -> Iterator[tuple[Submission, Scored]]:
    """Yield each owner of pairs that did not run for it, with their logits, which another request's run gave.

    `now` is the time in seconds on the scheduler's clock.
    """
    for owner, pairs in _by_owner(known):
        yield (
            owner,
            Scored(
                indexes=[entry.index for entry, _ in pairs],
                windows=[entry.pair.window for entry, _ in pairs],
                logits=[logit for _, logit in pairs],
                own_tokens=sum(padded(len(entry.pair)) for entry, _ in pairs),
                started=now,
                ended=now,
                shared=len(pairs),
            ),
        )


def _by_owner(
    scored: Iterable[tuple[WaitingPair, float]],
) -> Iterator[tuple[Submission, list[tuple[WaitingPair, float]]]]:
    groups: dict[Submission, list[tuple[WaitingPair, float]]] = {}
    for entry, logit in scored:
        groups.setdefault(entry.owner, []).append((entry, logit))
    yield from groups.items()

"""Group logits by the requests that own the pairs. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from rerank_service.scheduling.batch_run import BatchScored
from rerank_service.scheduling.batching import BatchLimits, EncodedPair
from rerank_service.scheduling.submission import Scored, ScoredPair, Submission

MAX_DELIVERIES = 8
"""Maximum number of requests that get logits in one turn of the event loop."""


def parts_of_batch(batch: BatchScored, limits: BatchLimits) -> Iterator[tuple[Submission, Scored]]:
    """Yield each owner of pairs in a batch that ran, with the logits of its pairs."""
    for owner, scored in _by_owner(zip(batch.entries, batch.logits, strict=True)):
        pairs = [entry.pair for entry, _ in scored]
        padded_tokens = batch.length * len(pairs)
        yield owner, _part(scored, limits, batch.started, batch.ended, pairs=pairs, padded_tokens=padded_tokens)


def parts_of_known(known: Iterable[ScoredPair], limits: BatchLimits, now: float) -> Iterator[tuple[Submission, Scored]]:
    """Yield each owner of pairs that did not run for it, with their logits, which another request's run gave.

    `now` is the time in seconds on the scheduler's clock.
    """
    for owner, scored in _by_owner(known):
        yield owner, _part(scored, limits, now, now, shared=len(scored))


def _part(
    scored: Sequence[ScoredPair],
    limits: BatchLimits,
    started: float,
    ended: float,
    *,
    pairs: Sequence[EncodedPair] = (),
    padded_tokens: int = 0,
    shared: int = 0,
) -> Scored:
    return Scored(
        indexes=[entry.index for entry, _ in scored],
        windows=[entry.pair.window for entry, _ in scored],
        logits=[logit for _, logit in scored],
        started=started,
        ended=ended,
        pairs=pairs,
        padded_tokens=padded_tokens,
        own_tokens=sum(limits.padded(len(entry.pair)) for entry, _ in scored),
        shared=shared,
    )


def _by_owner(scored: Iterable[ScoredPair]) -> Iterator[tuple[Submission, list[ScoredPair]]]:
    groups: dict[Submission, list[ScoredPair]] = {}
    for entry, logit in scored:
        groups.setdefault(entry.owner, []).append((entry, logit))
    yield from groups.items()

"""Reference of the forecast: the rules of admission as loops over all requests."""

from collections.abc import Sequence

from rerank_service.scheduling.forecast import RemainingWork


def simple_finish_times(work: Sequence[RemainingWork], tokens_per_second: float) -> list[float]:
    """Return the seconds until each request is finished, if no other request arrives.

    The model is weighted processor sharing: at any time each unfinished request gets tokens in proportion to its
    weight. The request with the fewest tokens per weight finishes first; the others then share its part.
    """
    finished = [0.0] * len(work)
    now = tokens_given = 0.0  # tokens given to a request of weight 1 so far
    total_weight = sum(request.weight for request in work)
    needed = [request.tokens / request.weight for request in work]
    for index in sorted(range(len(work)), key=needed.__getitem__):
        now += (needed[index] - tokens_given) * total_weight / tokens_per_second
        tokens_given = needed[index]
        total_weight -= work[index].weight
        finished[index] = now
    return finished


def simple_deadline_overrun(
    live: Sequence[RemainingWork], new: RemainingWork, tokens_per_second: float, time_factor: float
) -> float:
    """Return by how many seconds some request would finish too late if `new` were accepted; 0 if all are in time.

    A request is in time if it finishes within `time_factor` times its remaining time. The check covers the new request
    and each live request that it delays. A live request that would miss its deadline anyway does not count, nor one of
    unknown size that would not be in time anyway.
    """
    without = simple_finish_times(live, tokens_per_second)
    *with_new, new_finish = simple_finish_times([*live, new], tokens_per_second)
    overrun = new_finish - time_factor * new.seconds_left
    for request, before, after in zip(live, without, with_new, strict=True):
        protected = request.seconds_left if request.is_sized else time_factor * request.seconds_left
        if before <= protected and after > before:
            overrun = max(overrun, after - time_factor * request.seconds_left)
    return max(overrun, 0.0)

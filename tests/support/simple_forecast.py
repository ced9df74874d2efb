"""Reference of the forecast: the rules of admission as loops over all requests."""

from collections.abc import Sequence

from rerank_service.scheduling.forecast import RemainingWork


def simple_finish_times(work: Sequence[RemainingWork], tokens_per_second: float) -> list[float]:
    """Return the seconds until each request is finished, if no other request arrives.

    The requests of one priority share what more urgent ones leave. Less urgent ones get at most every eighth token.
    """
    finished = [0.0] * len(work)
    for priority in {request.priority for request in work}:
        urgent = sum(request.tokens for request in work if request.priority < priority)
        behind = sum(request.tokens for request in work if request.priority > priority)
        equal = [index for index, request in enumerate(work) if request.priority == priority]
        for index, tokens in zip(equal, _shared([work[index] for index in equal]), strict=True):
            ahead = urgent + tokens
            finished[index] = min(ahead + behind, 8 / 7 * ahead) / tokens_per_second
    return finished


def _shared(work: Sequence[RemainingWork]) -> list[float]:
    """Return the tokens that are computed until each request is finished, for requests of one priority.

    The model is weighted processor sharing: at any time each unfinished request gets tokens in proportion to its
    weight. The request with the fewest tokens per weight finishes first; the others then share its part.
    """
    finished = [0.0] * len(work)
    now = tokens_given = 0.0  # tokens given to all, and to a request of weight 1, so far
    total_weight = sum(request.weight for request in work)
    needed = [request.tokens / request.weight for request in work]
    for index in sorted(range(len(work)), key=needed.__getitem__):
        now += (needed[index] - tokens_given) * total_weight
        tokens_given = needed[index]
        total_weight -= work[index].weight
        finished[index] = now
    return finished


def simple_deadline_overrun(
    live: Sequence[RemainingWork],
    new: RemainingWork,
    tokens_per_second: float,
    time_factor: float,
    urgent_factor: float,
) -> float:
    """Return by how many seconds some request would finish too late if `new` were accepted; 0 if all are in time.

    A request is in time if it finishes within `time_factor` times its remaining time; within `urgent_factor` times, if
    the new one is more urgent. The check covers the new request
    and each live request that it delays. A live request that would miss its deadline anyway does not count, nor one of
    unknown size that would not be in time anyway.
    """
    if not new.tokens:
        return 0.0
    without = simple_finish_times(live, tokens_per_second)
    *with_new, new_finish = simple_finish_times([*live, new], tokens_per_second)
    overrun = new_finish - time_factor * new.seconds_left
    for request, before, after in zip(live, without, with_new, strict=True):
        planned = (urgent_factor if request.priority > new.priority else time_factor) * request.seconds_left
        protected = request.seconds_left if request.is_sized else planned
        if before <= protected and after > before:
            overrun = max(overrun, after - planned)
    return max(overrun, 0.0)

"""The fair queue against its simple reference: the same batches, whatever happens. And its cost: by counted visits."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rerank_service.scheduling import fair_queue
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.scheduling.urgency_line import Urgency
from support.limits import batch_limits
from support.simple_fair_queue import SimpleFairQueue

LIMITS = batch_limits(max_tokens=256, min_tokens=64, max_pairs=8, length_multiple=8)


class SameBatches(RuleBasedStateMachine):
    """Both queues get the same calls, and return the same items in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int, int] = FairQueue(LIMITS, lanes=2)
        self.simple: SimpleFairQueue[int, int] = SimpleFairQueue(LIMITS, lanes=2)
        self.live: list[int] = []
        self.requests = self.pairs = 0

    @rule(priority=st.integers(-1, 1), weight=st.sampled_from([0.5, 1.0, 4.0]))
    def enter(self, priority: int, weight: float) -> None:
        for queue in (self.queue, self.simple):
            queue.enter(self.requests, priority=priority, weight=weight)
        self.live.append(self.requests)
        self.requests += 1

    @precondition(lambda self: self.live)
    @rule(data=st.data(), lengths=st.lists(st.integers(1, 140), max_size=20))
    def add(self, data: st.DataObject, lengths: list[int]) -> None:
        request = data.draw(st.sampled_from(self.live))
        items = [(tokens, self.pairs + at) for at, tokens in enumerate(lengths)]
        self.pairs += len(items)
        for queue in (self.queue, self.simple):
            queue.add(request, items)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.live))
        self.live.remove(request)
        for queue in (self.queue, self.simple):
            queue.leave(request)

    @rule(every=st.none() | st.integers(1, 4), max_rows=st.none() | st.integers(1, 5), times=st.integers(1, 12))
    def take(self, every: int | None, max_rows: int | None, times: int) -> None:
        """Take some batches, and skip every n-th pair."""

        def skip(pair: int) -> bool:
            return every is not None and pair % every == 0

        bound = None if max_rows is None else (lambda _: max_rows)
        for _ in range(times):
            assert self.queue.take(skip, bound) == self.simple.take(skip, bound)

    @rule(tokens=st.integers(64, 300))
    def out_of_memory(self, tokens: int) -> None:
        for queue in (self.queue, self.simple):
            queue.budget.shrink(tokens)

    @invariant()
    def counts(self) -> None:
        assert (self.queue.pairs, self.queue.tokens) == (self.simple.pairs, self.simple.tokens)


TestSameBatches = SameBatches.TestCase
TestSameBatches.settings = settings(stateful_step_count=40)


def test_long_random_history_has_the_same_batches() -> None:
    """With hundreds of requests, so that removed entries are cleaned up."""
    generator = random.Random(16)
    queue: FairQueue[int, int] = FairQueue(LIMITS, lanes=2)
    simple: SimpleFairQueue[int, int] = SimpleFairQueue(LIMITS, lanes=2)
    live: list[int] = []
    for step in range(3_000):
        if len(live) < 300 or generator.random() < 0.3:
            live.append(step)
            priority, weight = generator.randrange(2), generator.choice([0.5, 1.0, 2.0])
            lengths = [generator.randrange(1, 140) for _ in range(generator.randrange(1, 30))]
            for each in (queue, simple):
                each.enter(step, priority=priority, weight=weight)
                each.add(step, [(tokens, step * 100 + at) for at, tokens in enumerate(lengths)])
        elif generator.random() < 0.3:
            gone = live.pop(generator.randrange(len(live)))
            for each in (queue, simple):
                each.leave(gone)
        assert queue.take() == simple.take()


class _Visits:
    """Counts how often the urgency of a share is read."""

    count = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        share = fair_queue._Share
        read = vars(share)["urgency"].fget

        def counted(each: "fair_queue._Share[int]") -> Urgency:
            self.count += 1
            urgency: Urgency = read(each)
            return urgency

        monkeypatch.setattr(share, "urgency", property(counted))


def _visits_per_call(requests: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the mean number of visited shares per batch and per request that comes and goes, with others waiting."""
    with monkeypatch.context() as patch:
        visits = _Visits(patch)
        queue: FairQueue[int, int] = FairQueue(LIMITS, lanes=2)
        for request in range(requests):
            queue.enter(request)
            queue.add(request, [(1 + (request + at) % 140, at) for at in range(4)])
        visits.count = 0
        calls = 200
        for call in range(requests, requests + calls):
            queue.enter(call)
            queue.add(call, [(1 + (call + at) % 140, at) for at in range(4)])
            assert queue.take()
            queue.leave(call)
        return visits.count / calls


def test_visited_requests_do_not_grow_with_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """They grow by the logarithm. The simple rule visits all of them: 10,000 cost milliseconds for each batch."""
    few, many = (_visits_per_call(requests, monkeypatch) for requests in (1_000, 10_000))
    assert many <= 1.4 * few
    assert many < 100

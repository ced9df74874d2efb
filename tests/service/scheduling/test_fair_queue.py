"""The fair queue: limits, shares, waiting bound, similar lengths in a batch."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rerank_service.scheduling.fair_queue import (
    BATCHES_AFTER_SMALL,
    FIRST_ROUND_BATCHES,
    MAX_SKIPPED,
    OLDEST_EVERY,
    FairQueue,
)
from rerank_service.scheduling.forecast import LiveWork, RemainingWork, finish_times
from support.limits import batch_limits

LIMITS = batch_limits(max_tokens=512, min_tokens=128, max_pairs=16, length_multiple=8)
LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=30)
Pair = tuple[str, int, int]
"""Owner, number, tokens."""


def _filled(**requests: list[int]) -> FairQueue[str, Pair]:
    queue: FairQueue[str, Pair] = FairQueue(LIMITS, lanes=1)
    for name, lengths in requests.items():
        queue.enter(name)
        queue.add(name, [(tokens, (name, number, tokens)) for number, tokens in enumerate(lengths)])
    return queue


def _all_batches(queue: FairQueue[str, Pair]) -> list[list[Pair]]:
    batches = []
    while batch := queue.take():
        batches.append(batch)
    return batches


@given(st.dictionaries(st.sampled_from("abcd"), LENGTHS, min_size=1))
def test_each_pair_runs_once_in_a_batch_within_the_limits(requests: dict[str, list[int]]) -> None:
    """No batch exceeds the limits of rows, padded tokens (unless it is a single row) and length ratio."""
    queue = _filled(**requests)
    batches = _all_batches(queue)
    ran = Counter(pair for batch in batches for pair in batch)
    assert ran == Counter((name, at, tokens) for name, all_ in requests.items() for at, tokens in enumerate(all_))
    for batch in batches:
        longest = LIMITS.padded(max(tokens for _, _, tokens in batch))
        assert len(batch) <= LIMITS.max_pairs
        assert longest * len(batch) <= LIMITS.max_tokens or len(batch) == 1
        assert all(LIMITS.padded(tokens) >= LIMITS.min_length_ratio * longest for _, _, tokens in batch)
    assert (queue.pairs, queue.tokens) == (0, 0)


class QueueMachine(RuleBasedStateMachine):
    """Requests enter, add pairs, leave and are served in any order. The counts and the waiting bound always hold."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int, int] = FairQueue(LIMITS, lanes=2)
        self.live: dict[int, set[int]] = {}
        self.lengths: dict[int, int] = {}
        self.batches_left: dict[int, int] = {}
        """Number of batches within which each waiting pair must run."""
        self.requests = self.pairs = 0

    @rule(priority=st.integers(-2, 2), weight=st.sampled_from([0.5, 1.0, 4.0]))
    def enter(self, priority: int, weight: float) -> None:
        self.queue.enter(self.requests, priority=priority, weight=weight)
        self.live[self.requests] = set()
        self.requests += 1

    @precondition(lambda self: self.live)
    @rule(data=st.data(), lengths=st.lists(st.integers(1, 600), max_size=12))
    def add(self, data: st.DataObject, lengths: list[int]) -> None:
        request = data.draw(st.sampled_from(sorted(self.live)))
        items = []
        for tokens in lengths:
            before = sum(map(len, self.live.values()))
            self.batches_left[self.pairs] = (before + 1) * OLDEST_EVERY
            self.lengths[self.pairs] = LIMITS.padded(tokens)
            self.live[request].add(self.pairs)
            items.append((tokens, self.pairs))
            self.pairs += 1
        assert request in self.queue
        self.queue.add(request, items)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.live)))
        self.queue.leave(request)
        assert request not in self.queue
        del self.live[request]

    @rule(every=st.none() | st.integers(1, 4))
    def take(self, every: int | None) -> None:
        """Skip every n-th pair. Each skipped pair is offered once, and leaves the queue like those that run."""
        skipped: list[int] = []

        def skip(pair: int) -> bool:
            if every is None or pair % every:
                return False
            skipped.append(pair)
            return True

        batch = self.queue.take(skip)
        waiting = {pair: owner for owner, pairs in self.live.items() for pair in pairs}
        removed = [*batch, *skipped]
        assert len(set(removed)) == len(removed)
        assert set(removed) <= waiting.keys()
        assert bool(removed) == bool(waiting)
        for pair in removed:
            self.live[waiting[pair]].remove(pair)
        for pair in waiting.keys() - set(removed):
            self.batches_left[pair] -= 1
            assert self.batches_left[pair] > 0, "starved"

    @invariant()
    def counts(self) -> None:
        waiting = [pair for pairs in self.live.values() for pair in pairs]
        assert self.queue.pairs == len(waiting)
        assert self.queue.tokens == sum(self.lengths[pair] for pair in waiting)


TestWaiting = QueueMachine.TestCase


def _shares(queue: FairQueue[str, Pair], takes: int) -> Counter[str]:
    """Return the tokens that each request received in the next batches."""
    given_: Counter[str] = Counter()
    for _ in range(takes):
        for name, _, tokens in queue.take():
            given_[name] += tokens
    return given_


def test_equal_requests_get_equal_shares() -> None:
    """The lengths of their pairs do not matter."""
    shares = _shares(_filled(short=[8] * 4000, long=[256] * 400), takes=200)
    assert 0.85 < shares["short"] / shares["long"] < 1.15


def test_shares_follow_weights() -> None:
    """A request of weight 3 receives three times the tokens."""
    queue: FairQueue[str, Pair] = FairQueue(LIMITS, lanes=1)
    for name, weight, tokens in (("light", 1.0, 64), ("heavy", 3.0, 256)):
        queue.enter(name, weight=weight)
        queue.add(name, [(tokens, (name, at, tokens)) for at in range(2000)])
    shares = _shares(queue, takes=200)
    assert 2.4 < shares["heavy"] / shares["light"] < 3.6


@given(st.lists(st.lists(st.integers(1, 512), min_size=1, max_size=40), min_size=2, max_size=8))
def test_no_request_finishes_later_than_with_equal_sharing(requests: list[list[int]]) -> None:
    """Apart from the batches that start with the oldest pair, and a few more."""
    queue = _filled(**{str(number): lengths for number, lengths in enumerate(requests)})
    work = [RemainingWork(sum(map(LIMITS.padded, lengths)), math.inf) for lengths in requests]
    at_once = finish_times(LiveWork.of(work), tokens_per_second=1.0)
    left = [len(lengths) for lengths in requests]
    computed = 0
    for batch in _all_batches(queue):
        computed += len(batch) * max(LIMITS.padded(tokens) for _, _, tokens in batch)
        for name, _, _ in batch:
            left[int(name)] -= 1
            if not left[int(name)]:
                assert computed <= at_once[int(name)] * OLDEST_EVERY / (OLDEST_EVERY - 1) + 6 * LIMITS.max_tokens


def test_small_requests_run_one_after_the_other() -> None:
    """Run at the same time, all of them would finish with the last."""
    queue = _filled(**{str(number): [100] * 10 for number in range(20)})
    order = [int(name) for batch in _all_batches(queue) for name, _, _ in batch]
    assert order.index(19) > max(at for at, name in enumerate(order) if name == 0)
    assert [name for name, _ in itertools.groupby(order)][:10] == list(range(10))


def test_small_request_overtakes_a_large_one() -> None:
    """Its 10 documents run in the next few batches, although 10,000 others arrived earlier."""
    queue = _filled(bulk=[100] * 10_000)
    _shares(queue, takes=50)
    queue.enter("small")
    queue.add("small", [(tokens, ("small", tokens, tokens)) for tokens in range(50, 150, 10)])
    batches = [queue.take() for _ in range(12)]
    assert sum(name == "small" for batch in batches for name, _, _ in batch) == 10


def _add(queue: FairQueue[str, Pair], name: str, pairs: int) -> None:
    """Add pairs of 64 tokens to a request."""
    queue.add(name, [(64, (name, number, 64)) for number in range(pairs)])


def _rows(queue: FairQueue[str, Pair], takes: int) -> list[Counter[str]]:
    """Return the number of pairs of each request in the next batches."""
    return [Counter(name for name, _, _ in queue.take()) for _ in range(takes)]


def test_large_requests_have_small_batches_beside_a_small_one() -> None:
    """While it waits, and for the next BATCHES_AFTER_SMALL batches. After that they fill whole batches again."""
    queue = _filled(bulk=[64] * 10_000)
    assert _rows(queue, 1) == [{"bulk": LIMITS.max_tokens // 64}]
    queue.enter("small")
    _add(queue, "small", 1)
    batches = _rows(queue, 30)
    (at,) = (number for number, rows in enumerate(batches) if rows["small"])
    few, many = LIMITS.min_tokens // 64, LIMITS.max_tokens // 64
    after = at + 1 + BATCHES_AFTER_SMALL
    assert [rows.total() for rows in batches] == [few] * after + [many] * (30 - after)


def test_forecasts_know_the_size_of_the_next_batches() -> None:
    """Smaller batches take more time per token, so a forecast with whole batches would be too early."""
    queue = _filled(bulk=[64] * 10_000)
    for takes in range(2 * BATCHES_AFTER_SMALL):
        if takes == 3:
            queue.enter("small")
            _add(queue, "small", 1)
        assert queue.batch_tokens == 64 * len(queue.take())
    queue.budget.shrink(32)
    assert queue.batch_tokens < LIMITS.min_tokens


def test_small_requests_fill_whole_batches() -> None:
    """Only pairs of large requests are few. Here each small request is more urgent than the large one."""
    queue = _filled(bulk=[64] * 10_000)
    _rows(queue, 1)
    for number in range(4):
        queue.enter(str(number), priority=-1)
        _add(queue, str(number), 2)
    assert _rows(queue, 1) == [{"0": 2, "1": 2, "2": 2, "3": 2}]


@pytest.mark.parametrize("parts", [(FIRST_ROUND_BATCHES * LIMITS.max_tokens // 64 + 1,), (1, 1)])
def test_a_request_beyond_its_first_round_is_large(parts: tuple[int, ...]) -> None:
    """A request that adds pairs while others wait is, too: its first round is that of the others."""
    queue = _filled(bulk=[64] * 10_000)
    queue.enter("other")
    for pairs in parts:
        _add(queue, "other", pairs)
    assert all(rows.total() == LIMITS.max_tokens // 64 for rows in _rows(queue, 30))


@pytest.mark.parametrize("leaves", [True, False])
def test_a_small_request_that_is_gone_is_forgotten(leaves: bool) -> None:
    """No matter whether the request left or has run."""
    queue = _filled(bulk=[64] * 10_000)
    queue.enter("small", priority=-1)
    _add(queue, "small", 1)
    if leaves:
        queue.leave("small")
    batches = _rows(queue, 20)
    assert batches[0].total() == (LIMITS.max_tokens if leaves else LIMITS.min_tokens) // 64
    assert batches[-1].total() == LIMITS.max_tokens // 64


def test_unused_share_is_not_saved() -> None:
    """An old request that adds pairs again takes turns with a new one."""
    queue = _filled(idle=[8], busy=[64] * 4000)
    _shares(queue, takes=100)
    queue.enter("fresh")
    for name in ("idle", "fresh"):
        queue.add(name, [(64, (name, at, 64)) for at in range(2000)])
    shares = _shares(queue, takes=300)
    assert min(shares[name] for name in ("idle", "busy", "fresh")) > 0.7 * max(shares.values())


def test_skipped_pairs_are_free() -> None:
    """A request with half its pairs skipped gets as many tokens computed as another one, and its batches are full."""
    queue = _filled(half=[64] * 4000, none=[64] * 4000)
    given_: Counter[str] = Counter()
    for _ in range(200):
        batch = queue.take(lambda pair: pair[0] == "half" and pair[1] % 2 == 0)
        assert len(batch) == LIMITS.max_tokens // 64
        given_.update(name for name, _, _ in batch)
    assert 0.85 < given_["half"] / given_["none"] < 1.15


def test_number_of_skipped_pairs_per_batch_is_limited() -> None:
    """The caller gets its lock back soon; the other pairs keep waiting."""
    queue = _filled(known=[64] * (3 * MAX_SKIPPED))
    takes = 0
    while queue.pairs:
        assert queue.take(lambda _: True) == []
        takes += 1
    assert takes == 3


def test_lower_priority_number_is_served_first() -> None:
    """One batch in OLDEST_EVERY still starts with the oldest pair."""
    queue = _filled(normal=[512] * 100)
    queue.enter("urgent", priority=-1)
    queue.add("urgent", [(512, ("urgent", at, 512)) for at in range(100)])
    owners = [queue.take()[0][0] for _ in range(8)]
    assert owners == ["urgent"] * (OLDEST_EVERY - 1) + ["normal"]


def test_last_batches_are_small_enough_for_all_lanes() -> None:
    """When few pairs wait, each lane gets a part of them."""
    queue: FairQueue[str, int] = FairQueue(batch_limits(max_tokens=4096, min_tokens=64, length_multiple=1), lanes=2)
    queue.enter("only")
    queue.add("only", [(32, at) for at in range(40)])
    sizes = [len(batch) for batch in iter(queue.take, [])]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 10


def test_pairs_that_left_are_forgotten() -> None:
    """The order of arrival does not grow with the requests that are gone while an older one waits."""
    queue = _filled(old=[8] * LIMITS.max_pairs * OLDEST_EVERY)
    for number in range(2000):
        queue.enter(str(number))
        queue.add(str(number), [(8, (str(number), 0, 8))])
        queue.leave(str(number))
    assert len(_all_batches(queue)) == OLDEST_EVERY
    assert len(queue._arrived) <= 1

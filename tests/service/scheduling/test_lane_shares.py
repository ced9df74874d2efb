"""The policy of shared lanes: weights, bursts, capacity, and the forecast of a part."""

import heapq
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.scheduling.lane_shares import BURST_SECONDS, USE_SECONDS, LaneShares, ShareAccount, Turn


class Machine:
    """Runs batches of members on a simulated clock. Each batch of a member takes the same time."""

    def __init__(self, **seconds: float) -> None:
        self.now = 0.0
        self.shares: LaneShares[str] = LaneShares()
        self.seconds = seconds
        self.waiting: Counter[str] = Counter()
        self.order: list[str] = []
        """The member of each batch, in the order in which batches started."""
        self.most = 0.0
        """Highest part of the capacity that was in use at once."""
        self._running: list[tuple[float, int, Turn[str]]] = []

    def run(self, until: float = math.inf) -> None:
        """Run batches until none waits, or until that time."""
        while True:
            while (turn := self.shares.start(lambda member: self.waiting[member] > 0)) is not None:
                self.waiting[turn.member] -= 1
                self.order.append(turn.member)
                ends = self.now + self.seconds[turn.member]
                heapq.heappush(self._running, (ends, len(self.order), turn))
                self.most = max(self.most, sum(1 / turn.seat.lanes for _, _, turn in self._running))
            if not self._running or self._running[0][0] > until:
                return
            self.now, _, turn = heapq.heappop(self._running)
            self.shares.end(turn, self.seconds[turn.member], self.now)

    def machine_seconds(self, lanes: Mapping[str, int]) -> dict[str, float]:
        """Return the seconds of the whole machine that each member took."""
        batches = Counter(self.order)
        return {member: count * self.seconds[member] / lanes[member] for member, count in batches.items()}


@pytest.mark.parametrize("lanes", [{"a": 4, "b": 4}, {"a": 4, "b": 2}, {"a": 4, "b": 1}, {"a": 3, "b": 4}])
def test_lanes_are_shared_by_weight(lanes: Mapping[str, int]) -> None:
    """Seconds of the machine count, however many lanes a model has and however long its batches are."""
    machine = Machine(a=0.01, b=0.03)
    for member, weight in (("a", 1.0), ("b", 3.0)):
        machine.shares.add(member, ShareAccount(member, weight), lanes[member])
    machine.waiting.update(a=10_000, b=10_000)
    machine.run(until=20.0)
    seconds = machine.machine_seconds(lanes)
    assert seconds["b"] / seconds["a"] == pytest.approx(3.0, rel=0.05)
    assert machine.most <= 1 + 1e-9


def test_a_model_alone_gets_every_lane() -> None:
    """The part of idle models is not kept free."""
    machine = Machine(a=0.01, b=0.01)
    for member in "ab":
        machine.shares.add(member, ShareAccount(member, 1.0), 4)
    machine.waiting.update(a=400)
    machine.run()
    assert machine.now == pytest.approx(1.0)
    assert machine.most == 1.0


def test_unused_time_is_saved_up_to_the_burst_only() -> None:
    """A model that was idle for a minute runs `BURST_SECONDS` before the others, and then shares equally."""
    machine = Machine(a=0.01, b=0.01)
    for member in "ab":
        machine.shares.add(member, ShareAccount(member, 1.0), 1)
    machine.waiting.update(a=10_000)
    machine.run(until=60.0)
    begun = len(machine.order)
    machine.waiting.update(b=1_000)
    machine.run(until=64.0)
    batches = machine.order[begun:]
    burst = round(BURST_SECONDS / 0.01)
    assert batches[: burst - 2].count("a") <= 1
    rest = batches[burst + 2 :]
    assert rest.count("b") == pytest.approx(rest.count("a"), abs=2)


def test_a_light_load_runs_before_a_heavy_one() -> None:
    """A model that uses less than its part does not wait for a busy one, but for the batch that runs."""
    machine = Machine(a=0.01, b=0.01)
    for member in "ab":
        machine.shares.add(member, ShareAccount(member, 1.0), 1)
    machine.waiting.update(a=100_000)
    machine.run(until=1.0)
    for second in range(2, 20):
        machine.waiting.update(b=20)  # a fifth of the machine
        begun = len(machine.order)
        machine.run(until=float(second))
        assert machine.order[begun : begun + 20].count("b") >= 19


def test_versions_of_one_model_take_turns_within_one_share() -> None:
    """A hot swap does not give a model a second share, and neither version waits for the other to finish."""
    machine = Machine(old=0.01, new=0.01, other=0.01)
    share = ShareAccount("model", 1.0)
    machine.shares.add("old", share, 2)
    machine.shares.add("new", share, 2)
    machine.shares.add("other", ShareAccount("other", 1.0), 2)
    machine.waiting.update(old=1000, new=1000, other=1000)
    machine.run(until=2.0)
    batches = Counter(machine.order)
    assert batches["other"] == pytest.approx(batches["old"] + batches["new"], abs=3)
    assert batches["old"] == pytest.approx(batches["new"], abs=2)


def test_a_removed_member_frees_the_lanes() -> None:
    """The last member with the most lanes decides how many there are."""
    shares: LaneShares[str] = LaneShares()
    shares.add("a", ShareAccount("a", 1.0), 4)
    shares.add("b", ShareAccount("b", 1.0), 2)
    assert (shares.lanes, shares.is_mixed, len(shares)) == (4, True, 2)
    shares.remove("a")
    assert (shares.lanes, shares.is_mixed, len(shares)) == (2, False, 1)


def test_the_part_of_a_model_is_what_others_leave() -> None:
    """Others go on as lately, but get at most their parts by weight."""
    shares: LaneShares[str] = LaneShares()
    a, b, c = (ShareAccount(name, 1.0) for name in "abc")
    for share in (a, b, c):
        shares.add(share.name, share, 2)
    assert shares.fraction(a, 0.0) == 1.0
    b.use(0.1 * USE_SECONDS, 0.0)
    assert shares.fraction(a, 0.0) == pytest.approx(0.9)
    c.use(0.9 * USE_SECONDS, 0.0)
    assert shares.fraction(a, 0.0) == pytest.approx(0.45)  # half of what b leaves
    a.weight = 2.0
    assert shares.fraction(a, 0.0) == pytest.approx(0.6)
    assert shares.fraction(a, 100 * USE_SECONDS) == pytest.approx(1.0)


@given(
    batches=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 9)), max_size=30),
    lanes=st.fixed_dictionaries({member: st.integers(1, 5) for member in "abcd"}),
    weights=st.fixed_dictionaries({member: st.floats(0.01, 100.0) for member in "abcd"}),
    seconds=st.fixed_dictionaries({member: st.floats(0.001, 10.0) for member in "abcd"}),
)
def test_every_batch_runs_once_and_capacity_is_kept(
    batches: Sequence[tuple[str, int]],
    lanes: Mapping[str, int],
    weights: Mapping[str, float],
    seconds: Mapping[str, float],
) -> None:
    """No batch is lost, whatever arrives when, and the machine is never oversubscribed."""
    machine = Machine(**seconds)
    for member in "abcd":
        machine.shares.add(member, ShareAccount(member, weights[member]), lanes[member])
    for member, count in batches:
        machine.waiting[member] += count
        machine.run(until=machine.now)
    machine.run()
    expected: Counter[str] = Counter()
    for member, count in batches:
        expected[member] += count
    assert Counter(machine.order) == expected
    assert machine.most <= 1 + 1e-6

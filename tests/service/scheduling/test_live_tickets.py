"""The live requests as rows of an array."""

import random

import pytest

from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.live_tickets import LiveTickets, Ticket


def test_totals_are_those_of_the_tickets() -> None:
    """Requests come, are computed in part, and go in any order; more than there are rows at first."""
    generator = random.Random(4)
    live = LiveTickets()
    tickets: list[Ticket] = []
    for number in range(2_000):
        if len(tickets) < 200 or generator.random() < 0.5:
            ticket = Ticket(generator.randrange(100), Deadline(number), 1.0, 2.0)
            tickets.append(ticket)
            live.add(ticket)
        else:
            gone = tickets.pop(generator.randrange(len(tickets)))
            live.remove(gone)
            gone.reduce(1.0)  # it stays usable
        generator.choice(tickets).reduce(generator.randrange(-5, 30))
        expected = [ticket.remaining_tokens for ticket in tickets]
        assert len(live) == len(tickets)
        assert live.remaining_tokens == pytest.approx(sum(expected))
        assert live.remaining_seconds == pytest.approx(sum(expected) / 2)
    work = live.work(now=10.0)
    assert sorted(work.tokens) == sorted(tokens for tokens in expected if tokens)
    due = sorted(ticket.remaining_work(10.0).seconds_left for ticket in tickets if ticket.remaining_tokens)
    assert sorted(work.seconds_left) == due

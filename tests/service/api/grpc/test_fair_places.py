"""Places for calls: connections take turns, and no place is lost."""

import asyncio

from rerank_service.api.grpc.fair_places import FairPlaces


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_connections_take_turns() -> None:
    """Ten calls of one do not come before the first call of another."""
    places, order = FairPlaces(1), list[str]()
    await places.take("first")

    async def call(connection: str) -> None:
        await places.take(connection)
        order.append(connection)
        places.free()

    calls = [asyncio.create_task(call(name)) for name in ["flood"] * 10 + ["probe"]]
    await _turns()
    assert places.crowded.is_set()
    places.free()
    await asyncio.gather(*calls)
    assert order == ["flood", "probe", *["flood"] * 9]
    assert not places.crowded.is_set()


async def test_cancelled_calls_leave_their_place_to_others() -> None:
    """Those that wait, and one that is cancelled at its turn."""
    places = FairPlaces(1)
    await places.take("a")
    waiting, at_its_turn, last = [asyncio.create_task(places.take("b")) for _ in range(3)]
    await _turns()
    waiting.cancel()
    await _turns()
    places.free()
    at_its_turn.cancel()
    await last
    assert not places.crowded.is_set()
    places.free()
    await places.take("c")
    assert at_its_turn.cancelled()

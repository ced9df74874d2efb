"""Any order of operations and requests: no request is lost, and the states agree with the loaded models."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Drawn
from hypothesis.stateful import RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from rerank_service.errors import NotReady, RequestError, UnknownModel
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.model_state import ModelState
from support.limits import batch_limits
from support.managed import FakeStore, ManagedServer, entry, managed

ENTRIES = (entry("pinned"), entry("other"), entry("late", on_demand=True), entry("later", on_demand=True))
ADDED = "added"
"""A model that is not in the catalog: an operator adds and removes it."""
NAMES = st.sampled_from([*(each.name for each in ENTRIES), ADDED])
FOLDERS = st.sampled_from(["v1", "v2", "v3", "broken"])


@dataclass(slots=True)
class Begun:
    """A call or a request that runs. Hypothesis keeps this object, so it must not keep an exception with its frames."""

    task: asyncio.Task[Any] | None
    ready: bool = False
    """True if the model was ready when the request began."""

    def take(self) -> asyncio.Task[Any]:
        """Return the task, and forget it."""
        task, self.task = self.task, None
        assert task is not None
        return task


class ModelStates(RuleBasedStateMachine):
    """Calls of operators and requests, some of which run at the same time."""

    base: Any = None
    calls = Drawn("calls")
    requests = Drawn("requests")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = FakeStore(self.base)
        self.store.versions = {"v2": 2, "v3": 3}
        self.store.broken = {"broken"}
        self.stop = asyncio.Event()
        self.begun: list[Begun] = []
        self.server: ManagedServer
        self.serving = self.loop.create_task(self._serve())
        self._turn(lambda: hasattr(self, "server"))

    async def _serve(self) -> None:
        async with managed(self.store, *ENTRIES) as self.server:
            await self.stop.wait()

    def _turn(self, until: Any = None) -> None:
        """Run the event loop until a condition is true, or for a few rounds."""

        async def rounds() -> None:
            if until is None:
                for _ in range(5):
                    await asyncio.sleep(0)
                return
            async with asyncio.timeout(60):
                while not until():
                    await asyncio.sleep(0.0005)

        self.loop.run_until_complete(rounds())

    def _begin(self, work: Coroutine[Any, Any, Any], *, ready: bool = False) -> Begun:
        begun = Begun(self.loop.create_task(work), ready)
        self.begun.append(begun)
        self._turn()
        return begun

    @rule(target=calls, name=NAMES, folder=FOLDERS)
    def load(self, name: str, folder: str) -> Begun:
        """Begin to load a folder."""
        return self._begin(self.server.manager.load(name, Path("/bundles", folder)))

    @rule(target=calls, name=NAMES)
    def unload(self, name: str) -> Begun:
        """Begin to unload a model."""
        return self._begin(self.server.manager.unload(name))

    @rule(target=calls, name=NAMES)
    def remove(self, name: str) -> Begun:
        """Begin to remove a model."""
        return self._begin(self.server.manager.remove(name))

    @rule(target=calls)
    def change_catalog(self) -> Begun:
        """Reload the file that the server started with."""
        return self._begin(self.server.manager.change_catalog(ENTRIES, ENTRIES))

    @rule(target=calls, name=NAMES)
    def refresh(self, name: str) -> Begun:
        """The files of a model have changed."""
        return self._begin(self.server.manager.refresh(name))

    @rule(target=requests, name=NAMES)
    def request(self, name: str) -> Begun:
        """Begin a request. It must succeed if the model is ready now."""
        owner = self.server.registry.owners.get(name)
        ready = owner is not None and owner.model is not None
        return self._begin(self.server.rank(name), ready=ready)

    @rule()
    def hold_loads(self) -> None:
        """From now on, loads begin but do not end."""
        self.store.hold()

    @rule()
    def release_loads(self) -> None:
        """Loads end again."""
        self.store.release()
        self._turn()

    @rule(begun=consumes(calls))
    def finish_call(self, begun: Begun) -> None:
        """A call succeeds, or has an error for the operator."""
        call = begun.take()
        self.store.release()
        self._turn(call.done)
        error = call.exception()
        assert error is None or isinstance(error, RequestError)

    @rule(begun=consumes(requests))
    def finish_request(self, begun: Begun) -> None:
        """A request that a ready model accepted has a score. Others have one, or an error with a time to retry."""
        request = begun.take()
        self.store.release()
        self._turn(request.done)
        error = request.exception()
        if error is None:
            assert request.result() in (1, 2, 3)
        else:
            assert not begun.ready
            assert isinstance(error, NotReady | UnknownModel)
            assert isinstance(error, UnknownModel) or error.retry_after

    @rule(begun=consumes(requests))
    def cancel_request(self, begun: Begun) -> None:
        """The client goes away."""
        request = begun.take()
        request.cancel()
        self._turn(request.done)

    @invariant()
    def states_agree(self) -> None:
        """A ready model has a version that serves and whose lanes run; any other model has none."""
        for managed_model in self.server.manager.models:
            state, serving = managed_model.registered.state, managed_model.registered.model
            assert (state is ModelState.READY) == (serving is not None)
            if serving is not None:
                assert managed_model.lanes
                assert managed_model.status().info is not None
            if state in (ModelState.LOADING, ModelState.DRAINING):
                assert managed_model.operation is not None

    def teardown(self) -> None:
        """When all has ended, only the versions that serve are in memory, and nothing waits."""
        try:
            self._finish()
        finally:
            self.stop.set()
            self.loop.run_until_complete(self.serving)
            self.loop.close()

    def _finish(self) -> None:
        self.store.release()
        left = [begun.take() for begun in self.begun if begun.task is not None]
        self._turn(lambda: all(task.done() for task in left))
        while left:
            left.pop().exception()  # seen
        models = self.server.manager.models
        self._turn(lambda: all(each.operation is None and not each.registered.live_requests for each in models))
        loaded = sum(each.registered.model is not None for each in models)
        self._turn(lambda: len(self.store.held) == loaded)
        self._turn(lambda: sum(len(each.lanes) for each in models) == loaded)  # they give memory back at their end
        assert not self.server.admissions.live_requests


def test_any_order_of_operations(small_model: Bundle) -> None:
    """See the rules and the invariant."""
    base = build_model(small_model, limits=batch_limits(), lanes=1)

    class States(ModelStates):
        """The machine with a model to copy."""

    States.base = base
    run_state_machine_as_test(
        States,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(autouse=True)
def quiet_log(capfd: pytest.CaptureFixture[str]) -> None:
    """Keep thousands of log lines out of the output."""

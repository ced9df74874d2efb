"""Load one version of a model: choose its engine, make room for it, load it, check it, and measure its memory.

Loads of all models run one after the other. So the memory of each one can be measured, and they do not compete for the
cores that requests need.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from rerank_service.engine.cgroup_limits import MemoryLimit, memory_limits
from rerank_service.engine.process_memory import ProcessMemory, process_memory
from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.freed_memory import give_back_freed_memory
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.loading import select_model
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel

T = TypeVar("T")


class Selected(Protocol):
    """A verified model folder that is not loaded yet. See `SelectedModel`."""

    @property
    def bundle(self) -> Bundle:
        """The verified folder."""

    def may_exceed(self, limits: Sequence[MemoryLimit]) -> bool:
        """Return True if the model may need more memory than the limits leave now."""

    def check_memory(self, limits: Sequence[MemoryLimit], held: int = 0) -> None:
        """Raise MemoryTooSmall if the model cannot fit."""

    def load_on_engine(self) -> ServedModel:
        """Load the model, warm it up and check it. Blocks. Raises BundleInvalid if its engine fails."""

    def without_tuning(self, error: BundleInvalid) -> "Selected | None":
        """Return the choice without the tuning, whose engine has failed with an error. None: there is no other engine.
        Blocks."""


@dataclass(frozen=True, slots=True)
class Version:
    """A loaded version of a model."""

    model: ServedModel
    memory_bytes: int | None
    """Memory that the load took. None: not measured."""


MakeRoom = Callable[[], Awaitable[bool]]
"""Unloads a model that is not in use. Returns False if there is none."""
OptionsOf = Callable[[ModelEntry], ModelOptions]
Select = Callable[[ModelOptions], Selected]


class VersionLoader:
    """Loads versions of models, one at a time. A thread reads the files, so a slow disk delays no request."""

    def __init__(
        self,
        options_of: OptionsOf,
        *,
        select: Select = select_model,
        read_limits: Callable[[], Sequence[MemoryLimit]] = memory_limits,
        read_memory: Callable[[], ProcessMemory | None] = process_memory,
    ) -> None:
        """`options_of` returns the options of an entry. The other functions block, except `read_memory`."""
        self.options_of = options_of
        self._select = select
        self._read_limits = read_limits
        self._read_memory = read_memory
        self.one_at_a_time = asyncio.Lock()
        """Held while a model is loaded."""
        self._loaded_any = False

    async def load(self, entry: ModelEntry, serving_digest: str, make_room: MakeRoom) -> Version | None:
        """Load a version, warm it up and check it. Return None if the version with `serving_digest` is the same one.

        If the engine of a tuning fails, the version is loaded as without the tuning.

        Raises:
            BundleInvalid: the model cannot be served.
            MemoryTooSmall: it does not fit beside the loaded models.
        """
        async with self.one_at_a_time:
            selected = await run_in_background(lambda: self._select(self.options_of(entry)))
            if serving_digest and selected.bundle.digest == serving_digest:
                return None
            try:
                return await self._beside_others(selected, make_room)
            except BundleInvalid as error:
                other = await run_in_background(partial(selected.without_tuning, error))
                if other is None:
                    raise
            return await self._beside_others(other, make_room)

    async def idle(self) -> None:
        """Wait until no model is being loaded."""
        async with self.one_at_a_time:
            pass

    async def measured(self, load: Callable[[], T]) -> tuple[T, int | None]:
        """Run a load, which blocks. Return its result, and the memory that it took, in bytes; None: not measured.

        The caller holds `one_at_a_time`.
        """
        before = await self._memory()
        result = await run_in_background(load)
        after = await self._memory()
        taken = max(0, after.resident - before.resident) if before is not None and after is not None else None
        return result, taken

    async def _memory(self) -> ProcessMemory | None:
        await give_back_freed_memory()
        return self._read_memory()

    async def _beside_others(self, selected: Selected, make_room: MakeRoom) -> Version:
        """Make room for a model, check that it fits, and load it."""
        await give_back_freed_memory()  # else it counts as used, and an idle model is unloaded in vain
        while await run_in_background(lambda: selected.may_exceed(self._read_limits())):
            if not await make_room():
                break
        return await self._checked(selected)

    async def _checked(self, selected: Selected) -> Version:
        memory = self._read_memory()
        held = memory.held if memory is not None and self._loaded_any else 0
        await run_in_background(lambda: selected.check_memory(self._read_limits(), held))
        version = Version(*await self.measured(selected.load_on_engine))
        self._loaded_any = True
        return version

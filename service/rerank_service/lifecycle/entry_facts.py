"""Facts about the models of entries, read in a thread: a slow disk must not delay the requests of other models."""

from collections.abc import Sequence

from rerank_service.lifecycle.background import run_in_background
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.served_model import ModelInfo
from rerank_service.models.unloaded_model import unloaded_info

Described = tuple[ModelEntry, ModelInfo]
"""An entry with the facts in the manifest of its folder."""


async def described(entry: ModelEntry) -> ModelInfo:
    """Return the facts about the model of an entry.

    Raises:
        BundleInvalid: the entry has no name, and its folder has none that can be read.
    """
    return await run_in_background(lambda: unloaded_info(entry))


async def all_described(entries: Sequence[ModelEntry]) -> dict[str, Described]:
    """Return entries with the facts about their models, by the names of the models.

    Raises:
        BundleInvalid: as in `described`.
    """

    def read() -> dict[str, Described]:
        infos = [(entry, unloaded_info(entry)) for entry in entries]
        return {info.name: (entry, info) for entry, info in infos}

    return await run_in_background(read)

"""The share of lanes and the limits of each model."""

from dataclasses import dataclass

from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.served_model import ServedModel
from rerank_service.scheduling.admissions import Admissions, LiveLimits
from rerank_service.scheduling.lane_pool import LanePools


@dataclass(frozen=True, slots=True)
class ModelCapacity:
    """Lanes and admission of all models."""

    pools: LanePools
    admissions: Admissions
    limits: LiveLimits
    """Limits of a model without limits of its own."""

    async def run_lanes(self, model: ServedModel, weight: float) -> None:
        """Run the batches of a version until its scheduler is closed.

        Raises the error that ends a batch.
        """
        share = self.pools.of(model.encoder.engine.device).share(model.info.name, weight)
        await model.scheduler.run(share)

    def apply(self, name: str, entry: ModelEntry, served: ServedModel | None) -> None:
        """Give a model the weight and the limits of its entry. They hold for new requests."""
        documents = self.limits.documents if entry.max_live_documents is None else entry.max_live_documents
        tokens = self.limits.tokens if entry.max_live_tokens is None else entry.max_live_tokens
        self.admissions.set_limits(name, LiveLimits(documents, tokens))
        if served is not None:
            self.pools.of(served.encoder.engine.device).share(name, entry.weight)

    def forget(self, name: str) -> None:
        """Remove the limits of a model that the server does not have any more."""
        self.admissions.remove(name)

"""Calls of the tokenizers in threads, for requests before and after their admission."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from rerank_service.encoding.reading_plan import ReadingPlan
from rerank_service.encoding.token_estimate import TokenEstimate
from rerank_service.models.served_model import ServedModel
from rerank_service.ranking.request import RerankRequest
from rerank_service.rust_panics import panics_as_errors
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.fair_threads import FairThreads

T = TypeVar("T")


def estimate_by_length(request: RerankRequest, plan: ReadingPlan, model: ServedModel) -> TokenEstimate:
    """Return the estimate of the tokens of documents, with tokens of the query by its length in characters."""
    return model.tokenizer.token_estimate(request.query, plan, instruction=request.instruction)


class Tokenizing:
    """Runs calls that block, and release the GIL, in threads. Used on the event loop."""

    def __init__(self, threads: FairThreads | None) -> None:
        """Without `threads`, the event loop's own executor runs the calls."""
        self._threads = threads

    async def run(self, model: ServedModel, call: Callable[[], T]) -> T:
        """Run a call of a model's tokenizer."""

        def work() -> T:
            with panics_as_errors():
                return call()

        if self._threads is None:
            return await asyncio.get_running_loop().run_in_executor(None, work)
        return await self._threads.run(model.info.name, work)

    async def estimate(
        self, request: RerankRequest, plan: ReadingPlan, model: ServedModel, deadline: Deadline
    ) -> TokenEstimate:
        """Return the estimate of the tokens of documents.

        A query that seems too long by its characters is tokenized, because it may have few tokens: blanks have none.
        If it is too long and may not be cut, the request ends here, with an error that names the query. Admission
        could reject it for another reason.

        Raises:
            InvalidRequest: the query or the instruction is too long, or there is no slot for the instruction.
            DeadlinePassed: the query was not tokenized before the deadline.
        """
        estimate = estimate_by_length(request, plan, model)
        if estimate.query_fits:
            return estimate
        exact = partial(model.tokenizer.exact_query_estimate, request.query, plan, instruction=request.instruction)
        async with deadline.enforced():
            return await self.run(model, exact)

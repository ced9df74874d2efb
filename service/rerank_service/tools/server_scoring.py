"""Score the documents of many queries for commands, with a running server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import numpy as np

from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import OperatorError
from rerank_service.ranking.request import TooLong
from rerank_service.tools.offline_scoring import Refusal, Scorer, Scores, scores_of
from rerank_service.tools.rest_client import client_of
from rerank_service.tools.served_identity import listed_identity, scoring_identity
from rerank_service.tools.served_model import Client, scored_if_working, served_model
from rerank_service.tools.server_address import ServerAddress
from rerank_service.tools.server_calls import (
    CALL_ERRORS,
    TIMEOUT_REPEATS,
    TIMEOUT_SECONDS,
    Failure,
    failure,
    failure_message,
)


@asynccontextmanager
async def server_scorer(
    server: ServerAddress,
    *,
    api_key: str | None = None,
    model: str = "",
    max_tokens_per_doc: int | None = None,
    too_long: TooLong = TooLong.WINDOWS,
) -> AsyncIterator[Scorer]:
    """Connect to a running server. Each query is one request, which is repeated while the server is busy.

    All scores are those of one version of the model: `score` raises OperatorError if a gRPC server has another one. Its
    engine may change, as a new server does when it has tuned itself.

    Raises:
        RerankError: a gRPC server does not respond.
        RestCallFailed: an HTTP server does not respond.
        SettingsInvalid: no model of the server has the name, or the API key may use none.
    """
    async with client_of(server, api_key=api_key, timeout=TIMEOUT_SECONDS, retries=0) as client:
        info = await served_model(client, server, model)
        scoring = _ServerScoring(client, model, info, max_tokens_per_doc, pb.TooLong.Value(f"TOO_LONG_{too_long.name}"))
        engine = f"{info.provider} {info.precision}".strip()
        yield Scorer(info.name, ", ".join(filter(None, (engine, f"at {server.target}"))), scoring.score)


class _ServerScoring:
    """Scores documents with a client of a server."""

    def __init__(
        self,
        client: Client,
        model: str,
        info: pb.Model,
        max_tokens_per_doc: int | None,
        too_long: pb.TooLong.ValueType,
    ) -> None:
        self._client = client
        self._model = model
        self._version = listed_identity(info)["model"]
        self._max_tokens_per_doc = max_tokens_per_doc
        self._too_long = too_long

    async def score(self, query: str, documents: Sequence[str]) -> Scores | Refusal:
        """Score documents for a query. If they miss the deadline, their halves are scored: a score does not depend on
        other documents."""
        scored = await self._scored(query, documents, range(len(documents)))
        return scored if isinstance(scored, Refusal) else _joined(scored)

    async def _scored(self, query: str, documents: Sequence[str], part: range) -> list[Scores] | Refusal:
        """Score the documents at these positions, in one or several requests."""
        try:
            return [await self._request(query, documents[part.start : part.stop])]
        except CALL_ERRORS as error:
            kind = failure(error)
            if kind not in (Failure.REQUEST, Failure.TIMEOUT):
                raise
            if kind is Failure.REQUEST or len(part) == 1:
                return Refusal(_place(part, len(documents)) + failure_message(error))
        scores: list[Scores] = []
        for half in (part[: len(part) // 2], part[len(part) // 2 :]):
            scored = await self._scored(query, documents, half)
            if isinstance(scored, Refusal):
                return scored
            scores += scored
        return scores

    async def _request(self, query: str, documents: Sequence[str]) -> Scores:
        call = partial(
            self._client.rerank,
            query,
            documents,
            model=self._model,
            max_tokens_per_doc=self._max_tokens_per_doc,
            too_long=self._too_long,
            score_type=pb.SCORE_TYPE_RAW,
        )
        repeats = TIMEOUT_REPEATS if len(documents) == 1 else 0
        response = await scored_if_working(self._client, self._model, call, repeats=repeats)
        self._check_version(response)
        return scores_of(response.results, query_truncated=response.query_truncated)

    def _check_version(self, response: pb.RerankResponse) -> None:
        scored_by = scoring_identity(response)
        if scored_by is not None and scored_by["model"] != self._version:
            raise OperatorError(
                f"the model of the server has changed since the first query: it was {self._version}, now "
                f"{scored_by['model']}. Run the command again when all replicas have the same model"
            )


def _place(part: range, documents: int) -> str:
    """Return which documents of a query a message is about; empty for all."""
    if len(part) == documents:
        return ""
    return f"documents[{part.start}]: " if len(part) == 1 else f"documents {part.start} to {part.stop - 1}: "


def _joined(parts: Sequence[Scores]) -> Scores:
    """Return the scores of consecutive documents of one query as one value."""
    return Scores(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.windows for part in parts]),
        np.concatenate([part.truncated for part in parts]),
        any(part.query_truncated for part in parts),
    )

"""Golden scores: the served logits equal those of transformers."""

import asyncio
from itertools import groupby

import pytest

from golden.cases import Case, golden_cases
from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from support.process import Start


async def _check(client: AsyncRerankClient, query: str, cases: list[Case]) -> None:
    documents = [case.document for case in cases]
    # like transformers with `truncation="only_second"`
    response = await client.rerank(query, documents, too_long=pb.TOO_LONG_CUT, query_too_long=pb.QUERY_TOO_LONG_REFUSE)
    for result in response.results:
        case = cases[result.index]
        assert result.logit == pytest.approx(case.logit, abs=1e-4), case
        assert result.truncated == case.truncated, case


async def test_served_logits_equal_the_golden_ones(start: Start) -> None:
    """All 200 pairs over gRPC, with all queries at the same time."""
    server = start()
    by_query = [(query, list(cases)) for query, cases in groupby(golden_cases(), key=lambda case: case.query)]
    async with AsyncRerankClient(server.grpc) as client:
        await asyncio.gather(*(_check(client, query, cases) for query, cases in by_query))

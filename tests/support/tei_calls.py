"""Messages of tei.v1, made with the stubs that tei-client generated from TEI's own proto file."""

from collections.abc import Iterable
from typing import Any

from tei_client.stubs import tei_pb2


def unary_request(texts: Iterable[str], query: str = "0", **options: Any) -> Any:
    """Return the message of a unary call."""
    return tei_pb2.RerankRequest(query=query, texts=texts, **options)


def stream_request(text: str, query: str = "0", **options: Any) -> Any:
    """Return one message of a stream."""
    return tei_pb2.RerankStreamRequest(query=query, text=text, **options)


def ranked(response: Any) -> list[tuple[int, float]]:
    """Return index and score of each rank of a response."""
    return [(rank.index, rank.score) for rank in response.ranks]

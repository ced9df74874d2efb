"""A blocking RerankStream call. Private: import from rerank.client."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from rerank._messages import Content, OnScores, document_chunks, merge_response
from rerank.v1 import rerank_pb2 as pb


def rank_stream(
    start_call: Callable[[Iterator[pb.RerankStreamRequest]], Any],
    header: pb.RerankStreamRequest,
    documents: Iterable[Content],
    on_scores: OnScores | None,
) -> pb.RerankResponse:
    """Send the header and the documents, and return the ranking.

    gRPC iterates over the messages in a separate thread. An error of `documents` cancels the call and is raised here.
    """
    started = threading.Event()
    failures: list[BaseException] = []

    def messages() -> Iterator[pb.RerankStreamRequest]:
        try:
            yield header
            yield from document_chunks(documents)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)
            started.wait()
            call.cancel()

    call = start_call(messages())
    started.set()
    ranking = pb.RerankResponse()
    try:
        for response in call:
            merge_response(ranking, response, on_scores)
    except grpc.RpcError:
        if not failures:
            raise
    finally:
        call.cancel()  # needed if on_scores raised; has no effect on a finished call
    if failures:
        raise failures[0]
    return ranking

"""A gRPC server with a servicer of a test."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from rerank.v1 import rerank_pb2_grpc as pb_grpc


@contextmanager
def serving(servicer: pb_grpc.RerankServicer) -> Iterator[str]:
    """Serve rerank.v1.Rerank during the block, on a port that the system chooses. Yields the address."""
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        pb_grpc.add_RerankServicer_to_server(servicer, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield address
        finally:
            server.stop(0).wait()

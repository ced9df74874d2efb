"""Errors of gRPC calls, and the end of requests."""

import asyncio

import grpc
from google.rpc import error_details_pb2, status_pb2

from support.running import Running


def rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the google.rpc.Status of an error. It is empty if the error has none."""
    packed = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    return status_pb2.Status.FromString(packed)


def violation(error: grpc.aio.AioRpcError) -> error_details_pb2.BadRequest.FieldViolation:
    """Return the field that an error names."""
    bad_request = error_details_pb2.BadRequest()
    assert rich_status(error).details[0].Unpack(bad_request)
    return bad_request.field_violations[0]


async def until_idle(core: Running) -> None:
    """Wait until no request is queued or running."""
    while not core.idle():
        await asyncio.sleep(0.001)

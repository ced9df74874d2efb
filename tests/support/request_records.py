"""The record of a finished request. Tests change it by `dataclasses.replace`."""

from rerank_service.observability.request_record import RequestRecord

RECORD = RequestRecord(
    id="mine",
    protocol="rest",
    method="POST",
    call="/v2/rerank",
    route="/v2/rerank",
    client="10.0.0.1",
    status=200,
    seconds=1.0,
    model="small",
    ranked=True,
)
"""A ranking over REST that succeeded."""

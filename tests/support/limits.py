"""Default limits and options, with the changes that a test needs."""

from dataclasses import replace
from typing import Any

from rerank_service import wiring
from rerank_service.api.address import listen_addresses
from rerank_service.api.grpc.options import GrpcOptions
from rerank_service.api.http.options import RestOptions
from rerank_service.engine.batch_defaults import CPU_LIMITS
from rerank_service.ranking.limits import RequestLimits
from rerank_service.scheduling.batching import BatchLimits
from rerank_service.settings import Settings

_DEFAULTS = Settings.model_construct()  # does not read the environment
_ADDRESSES = listen_addresses(_DEFAULTS.host)


def request_limits(**changes: Any) -> RequestLimits:
    """Return the default limits of a request, with changes."""
    return replace(wiring.request_limits(_DEFAULTS), **changes)


def grpc_options(**changes: Any) -> GrpcOptions:
    """Return the default options of the gRPC server on a port that the system chooses, with changes."""
    return replace(wiring.grpc_options(_DEFAULTS, _ADDRESSES), port=0, **changes)


def rest_options(**changes: Any) -> RestOptions:
    """Return the default options of the REST server, with changes."""
    return replace(wiring.rest_options(_DEFAULTS, _ADDRESSES), port=0, **changes)


def batch_limits(**changes: Any) -> BatchLimits:
    """Return the default batch limits of a CPU, with changes."""
    return replace(CPU_LIMITS, **changes)

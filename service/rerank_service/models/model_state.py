"""State of a model at the server."""

from enum import Enum


class ModelState(Enum):
    """State of a model at the server."""

    UNLOADED = "unloaded"
    """No memory is in use. A request loads a model with `on_demand`."""
    LOADING = "loading"
    """The first version is being loaded, warmed up and checked. It takes no requests yet."""
    READY = "ready"
    """The model takes requests, also while a new version of it is loading."""
    FAILED = "failed"
    """The last load failed, and no earlier version serves. `reason` says why."""
    DRAINING = "draining"
    """The model takes no new requests, and finishes the accepted ones before it is unloaded."""

"""Errors of loading and unloading models and of the service Admin, beside those in rerank_service.errors."""

from grpc import StatusCode

from rerank_service.errors import RequestError


class LoadFailed(RequestError):
    """A model cannot be loaded. An earlier version of it serves on."""

    code = StatusCode.FAILED_PRECONDITION
    kind = reason = "load_failed"
    field = "folder"


class NoMemory(RequestError):
    """A model does not fit into the memory beside the loaded ones."""

    code = StatusCode.RESOURCE_EXHAUSTED
    kind = "load_failed"
    reason = "no_memory"


class NameTaken(RequestError):
    """Another model has this name or alias."""

    code = StatusCode.ALREADY_EXISTS
    kind = "load_conflict"
    reason = "name_taken"
    field = "name"


class LoadConflict(RequestError):
    """The model is being loaded or unloaded by another call."""

    code = StatusCode.ABORTED
    kind = reason = "load_conflict"
    field = "name"


class InCatalog(RequestError):
    """Admin may not remove this model: it is one of the server's settings."""

    code = StatusCode.FAILED_PRECONDITION
    kind = "admin_denied"
    reason = "in_catalog"
    field = "name"


class FolderNotAllowed(RequestError):
    """Admin may not load models from this folder."""

    code = StatusCode.PERMISSION_DENIED
    kind = "admin_denied"
    reason = "folder_not_allowed"
    field = "folder"


class AdminKeyRequired(RequestError):
    """The API key may not change the server."""

    code = StatusCode.PERMISSION_DENIED
    kind = "admin_denied"
    reason = "admin_key_required"

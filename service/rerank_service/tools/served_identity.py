"""The model and the engine of a running server, on which its scores depend."""

from rerank.v1 import rerank_pb2 as pb


def listed_identity(model: pb.Model) -> dict[str, str]:
    """Return model and engine of a model that a server lists."""
    return _identity(model.name, model)


def scoring_identity(response: pb.RerankResponse) -> dict[str, str] | None:
    """Return model and engine that scored a response. None: an older server does not say that, and no JSON does."""
    return _identity(response.model, response.model_version) if response.HasField("model_version") else None


def _identity(name: str, version: pb.Model | pb.ModelVersion) -> dict[str, str]:
    return {
        "model": f"{name} {version.digest}".strip(),
        "engine": f"{version.provider} {version.precision}".strip(),
    }

"""HTTP paths that several dialects share. The keys of a body select the dialect."""

RERANK_PATHS = (
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/v1/rerank",
    "/v1/v2/rerank",
    "/v3/rerank",
    "/api/rerank",
    "/inference/v1/rerank",
    "/reranks",
    "/v1/reranks",
    "/compatible-api/v1/reranks",
)
"""Paths of Cohere and of services with the same format. Clients append them to base URLs of many forms."""
RERANKING_PATHS = ("/v1/reranking", "/reranking")
"""Paths of mixedbread, NVIDIA and llama.cpp."""
COHERE_V2_PATHS = ("/v2/rerank", "/v1/v2/rerank")
"""Paths of Cohere's API version 2."""

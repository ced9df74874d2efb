"""HTTP paths that several dialects share. The keys of a body select the dialect."""

SHARED_PATH = "/rerank"
"""Path of the unified dialect, TEI, Amazon Bedrock, Pinecone and Weaviate."""
RERANK_PATHS = (
    "/v1/rerank",
    "/v2/rerank",
    SHARED_PATH,
    "/v1/v1/rerank",
    "/v1/v2/rerank",
    "/v2/v1/rerank",
    "/v2/v2/rerank",
    "/v3/rerank",
    "/api/rerank",
    "/inference/v1/rerank",
    "/reranks",
    "/v1/reranks",
    "/compatible-api/v1/reranks",
    "/api/v1/rerank",
    "/openai/v1/rerank",
    "/providers/cohere/v2/rerank",
)
"""Paths of Cohere and of services with the same format. Clients append them to base URLs of many forms.

`/api/v1/rerank` is OpenRouter's, `/openai/v1/rerank` is KServe's.
"""
RERANKING_PATHS = ("/v1/reranking", "/reranking")
"""Paths of mixedbread, NVIDIA and llama.cpp."""
INVOCATIONS_PATH = "/invocations"
"""Path of SageMaker's containers: bodies of TEI, Cohere and vLLM."""
COHERE_V2_PATHS = ("/v2/rerank", "/v1/v2/rerank", "/v2/v2/rerank", "/providers/cohere/v2/rerank")
"""Paths of Cohere's API version 2. The last is that of Azure AI Foundry."""
UNIFIED_PATHS = (*(path for path in RERANK_PATHS if path not in COHERE_V2_PATHS), *RERANKING_PATHS, INVOCATIONS_PATH)
"""Paths of the unified dialect, without those of Cohere's API version 2."""
PATH_MODEL = "{model:path}"
"""The model, where the path names it. The name may have slashes."""


def shown_path(path: str) -> str:
    """Return a path as the OpenAPI page shows it: without the converter of a parameter."""
    return path.replace(PATH_MODEL, "{model}")

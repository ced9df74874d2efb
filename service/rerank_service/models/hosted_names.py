"""Names of hosted rerankers. Clients have them in their code, so each name means the default model here.

Newer names are accepted by their form (hosted_patterns.py). A name needs a line here if no pattern matches it, or if a
server with several models should accept it.

Sources: the vendors' lists of models, and the defaults of the clients in docs/clients.md.
"""

_COHERE = (
    "rerank-english-v2.0",
    "rerank-multilingual-v2.0",
    "rerank-english-v3.0",
    "rerank-multilingual-v3.0",
    "rerank-v3.5",
    "rerank-v4.0",
    "rerank-v4.0-fast",
    "rerank-v4.0-pro",
    "cohere.rerank-v3-5:0",
    "cohere-rerank-3.5",
)
_TOGETHER = (
    "Salesforce/Llama-Rank-V1",
    "Salesforce/Llama-Rank-v1",
    "togethercomputer/Salesforce-Llama-Rank-V1",
    "mixedbread-ai/Mxbai-Rerank-Large-V2",
)
_JINA = (
    "jina-reranker-v1-base-en",
    "jina-reranker-v1-turbo-en",
    "jina-reranker-v1-tiny-en",
    "jina-reranker-v2-base-multilingual",
    "jina-reranker-m0",
    "jina-reranker-v3",
    "jina-reranker-v3.5",
    "jina-colbert-v1-en",
    "jina-colbert-v2",
)
_VOYAGE = ("rerank-1", "rerank-lite-1", "rerank-2", "rerank-2-lite", "rerank-2.5", "rerank-2.5-lite")
_ZEROENTROPY = ("zerank-2", "zerank-1", "zerank-1-small")
_AMAZON = ("amazon.rerank-v1:0",)
_GOOGLE = ("semantic-ranker-default@latest", "semantic-ranker-fast@latest")
_PINECONE = ("pinecone-rerank-v0",)
_MIXEDBREAD = (
    "mixedbread-ai/mxbai-rerank-xsmall-v1",
    "mixedbread-ai/mxbai-rerank-base-v1",
    "mixedbread-ai/mxbai-rerank-large-v1",
    "mixedbread-ai/mxbai-rerank-base-v2",
    "mixedbread-ai/mxbai-rerank-large-v2",
    "mxbai-rerank-xsmall-v1",
    "mxbai-rerank-base-v1",
    "mxbai-rerank-large-v1",
    "mxbai-rerank-base-v2",
    "mxbai-rerank-large-v2",
)
_NVIDIA = (
    "nv-rerank-qa-mistral-4b:1",
    "nvidia/nv-rerankqa-mistral-4b-v3",
    "nvidia/llama-3.2-nv-rerankqa-1b-v1",
    "nvidia/llama-3.2-nv-rerankqa-1b-v2",
    "nvidia/llama-3.2-nemoretriever-500m-rerank-v2",
    "nvidia/llama-nemotron-rerank-1b-v2",
    "nvidia/rerank-qa-mistral-4b",
)
_DASHSCOPE = ("gte-rerank", "gte-rerank-v2", "qwen3-rerank", "qwen3-vl-rerank", "qwen3.7-text-rerank")
_WATSONX = ("cross-encoder/ms-marco-minilm-l-12-v2",)
_SILICONFLOW = (
    "BAAI/bge-reranker-v2-m3",
    "Pro/BAAI/bge-reranker-v2-m3",
    "netease-youdao/bce-reranker-base_v1",
    "Qwen/Qwen3-Reranker-0.6B",
    "Qwen/Qwen3-Reranker-4B",
    "Qwen/Qwen3-Reranker-8B",
)
_DEFAULTS = ("default/not-specified", "API", "reranker", "rerank", "bge-reranker-v2-m3", "bge-reranker-base")
"""Default names of infinity_client, LocalAI, GPUStack, Xinference and Open WebUI, and the names in their docs."""

HOSTED_NAMES = frozenset(
    (
        *(*_COHERE, *_TOGETHER, *_JINA, *_VOYAGE, *_ZEROENTROPY, *_AMAZON, *_GOOGLE, *_PINECONE),
        *(*_MIXEDBREAD, *_NVIDIA, *_DASHSCOPE, *_WATSONX, *_SILICONFLOW, *_DEFAULTS),
    )
)

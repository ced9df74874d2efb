"""Groups of the OpenAPI page, in their order. Each operation is in one."""

RERANK = "rerank"
HOSTED = "hosted services"
SERVERS = "self-hosted servers"
ENGINES = "search engines"
MODELS = "models"
HEALTH = "health"

TAGS = {
    RERANK: "Rank documents. Start here: the format of the clients of Cohere, Jina, Together, Voyage, vLLM and others.",
    HOSTED: "Rank documents in the format of one hosted service, so that its SDK works with another base URL.",
    SERVERS: "Rank documents, or score pairs, in the format of another server.",
    ENGINES: "Rank documents for a search engine that calls a reranker.",
    MODELS: "Describe the models and the limits of this server, in the formats that clients ask for.",
    HEALTH: "Report whether the server lives, and whether it accepts requests. Most paths need no API key.",
}
"""Descriptions of the groups."""

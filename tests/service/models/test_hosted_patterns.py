"""Names that look like those of hosted rerankers."""

import pytest

from rerank_service.models.hosted_names import HOSTED_NAMES
from rerank_service.models.hosted_patterns import HostedPatterns
from rerank_service.settings import Settings

DEFAULT = HostedPatterns(Settings().hosted_name_patterns)


@pytest.mark.parametrize(
    "name",
    [
        "rerank-v3.5",
        "rerank-v5.0-pro",
        "rerank-3",
        "rerank-3-lite",
        "rerank-english-v4.0",
        "cohere/rerank-v3.5",
        "Cohere-rerank-v4.0-fast",
        "cohere.rerank-v4-0:0",
        "amazon.rerank-v1:0",
        "jina-reranker-v3",
        "jina-reranker-v4",
        "jina_ai/jina-reranker-m1",
        "jinaai/jina-colbert-v3",
        "zerank-1",
        "zerank-2",
        "zerank-3-small",
        "zeroentropy/zerank-2",
        "Salesforce/Llama-Rank-V2",
        "semantic-ranker-default-004",
        "vertex_ai/semantic-ranker-fast@latest",
        "ctxl-rerank-v2-instruct-multilingual",
        "pinecone-rerank-v1",
        "mixedbread-ai/mxbai-rerank-large-v3",
        "nvidia/llama-nemotron-rerank-1b-v3",
        "accounts/fireworks/models/qwen3-reranker-8b",
        "voyage/rerank-2.5",
        "baai/bge-reranker-v2-m3",
    ],
)
def test_default_patterns_match_hosted_names(name: str) -> None:
    """Also names that are newer than the list, and names with the prefix of a vendor or of litellm."""
    assert DEFAULT.accepts(name, ["starter"])


@pytest.mark.parametrize(
    "name",
    [
        "",
        "other",
        "gpt-5",
        "startr",
        "rerank",
        "my-reranker",
        "bge-large-en-v1.5",
        "text-embedding-3-small",
        "v3-rerank",
    ],
)
def test_default_patterns_match_no_other_name(name: str) -> None:
    """Generative models, embedding models, and names without a version."""
    assert not DEFAULT.accepts(name, ["starter"])


@pytest.mark.parametrize(
    ("served", "name", "accepted"),
    [
        ("my-reranker-v1", "my-reranker-v2", False),
        ("my-reranker-v1", "my-rerankr-v1", False),
        ("my-reranker-v1", "MY-reranker_v1", False),
        ("my-reranker-v1", "acme/my-reranker-v2", False),
        ("my-reranker-v1", "my-rerank-v1", False),
        ("my-reranker-v1", "rerank-v3.5", True),
        ("my-reranker-v1", "jina-reranker-v4", True),
        ("bge-reranker-v2-m3", "baai/bge-reranker-v2-m3", True),
        ("BAAI/bge-reranker-v2-m3", "bge-reranker-v2-m3", True),
        ("bge-reranker-v2-m3", "bge-reranker-v3-m3", False),
        ("rerank-v3.5", "rerank-v5.0", True),
    ],
)
def test_typo_of_a_served_name_is_not_accepted(served: str, name: str, *, accepted: bool) -> None:
    """It differs in a few characters. Prefixes and case do not count."""
    assert DEFAULT.accepts(name, ["starter", served]) is accepted


def test_own_patterns_replace_the_default_ones() -> None:
    """Upper and lower case are equal. A pattern matches the whole name."""
    patterns = HostedPatterns(["Acme-*", "x?"])
    assert all(patterns.accepts(name, []) for name in ("acme-1", "ACME-", "x1"))
    assert not any(patterns.accepts(name, []) for name in ("my-acme-1", "x", "x12", "rerank-2"))
    assert not HostedPatterns([]).accepts("rerank-2", [])


def test_long_name_is_not_hosted() -> None:
    """A caller cannot make the comparison slow, whatever the patterns are."""
    assert DEFAULT.accepts("rerank-" + "1" * 193, ["starter"])
    assert not DEFAULT.accepts("rerank-" + "1" * 194, ["starter"])
    assert not DEFAULT.accepts("rerank-1" * 1_000_000, ["starter"])
    hard = HostedPatterns(["*a" * 60 + "*b"])
    assert not hard.accepts("a" * 200, ["starter"])


def test_listed_names_that_need_their_line() -> None:
    """No pattern matches these names: they have no version, or are a client's default."""
    needed = {name for name in HOSTED_NAMES if not DEFAULT.accepts(name, [])}
    assert {"gte-rerank", "qwen3-rerank", "qwen3-vl-rerank", "qwen3.7-text-rerank"} <= needed
    assert {"cross-encoder/ms-marco-minilm-l-12-v2", "reranker", "API", "bge-reranker-base"} <= needed
    assert not {"zerank-2", "rerank-v3.5", "jina-reranker-v3"} & needed

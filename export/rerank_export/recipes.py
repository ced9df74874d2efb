"""Rerankers whose template is only in their own code or on their card, as data.

Rule: a recipe is for models that are named so, of the architecture that is named; all others are asked about.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rerank_service.encoding.template import Template


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a family of models is asked."""

    name: str
    models: str
    """Pattern of hub ids and folders' names; matched anywhere, in any case."""
    kinds: tuple[str, ...]
    """`model_type` in config.json."""
    template: Template
    yes: str
    """The token whose logit speaks for relevance, where the model has no head of its own."""
    no: str | None
    """The one that speaks against it; None: the logit of `yes` is the score."""
    max_tokens: int
    """What the model's own code cuts at."""


_CHAT_USER_ENDS = "<|im_end|>\n<|im_start|>assistant\n"

RECIPES = (
    # https://huggingface.co/Qwen/Qwen3-Reranker-0.6B: format_instruction, prefix, suffix, max_length; its one-label
    # twins (tomaarsen/Qwen3-Reranker-0.6B-seq-cls) are asked alike
    Recipe(
        name="qwen3-reranker",
        models=r"qwen3-reranker",
        kinds=("qwen3",),
        template=Template(
            before=(
                "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
                'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n',
                "<Instruct>: {instruction}\n<Query>: {query}\n",
            ),
            document="<Document>: {document}",
            after=(f"{_CHAT_USER_ENDS}<think>\n\n</think>\n\n",),
            instruction="Given a web search query, retrieve relevant passages that answer the query",
        ),
        yes="yes",
        no="no",
        max_tokens=8192,
    ),
    # https://github.com/mixedbread-ai/mxbai-rerank, mxbai_rerank_v2.py: prepare_inputs, concat_input_ids, forward
    Recipe(
        name="mxbai-rerank-v2",
        models=r"mxbai-rerank-(base|large)-v2",
        kinds=("qwen2",),
        template=Template(
            before=(
                "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
                "<|im_start|>user\n",
                "instruction: {instruction}\n",
                "query: {query}",
                "\n",
            ),
            document="document: {document}",
            after=(
                "\n",
                "You are a search relevance expert who evaluates how well documents match search queries. For each "
                "query-document pair, carefully analyze the semantic relationship between them, then provide your "
                "binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:",
                _CHAT_USER_ENDS,
            ),
        ),
        yes="1",
        no="0",
        max_tokens=8192,
    ),
    # https://github.com/FlagOpen/FlagEmbedding, inference/reranker/decoder_only/base.py: the score is the logit of
    # "Yes" alone; 1024 is what the card's own get_inputs cuts at. Not the layerwise nor the lightweight models
    Recipe(
        name="bge-reranker-v2-gemma",
        models=r"bge-reranker-v2-gemma$",
        kinds=("gemma",),
        template=Template(
            before=("<bos>", "A: {query}", "\n"),
            document="B: {document}",
            after=(
                "\n",
                "Given a query A and a passage B, determine whether the passage contains an answer to the query by "
                "providing a prediction of either 'Yes' or 'No'.",
            ),
        ),
        yes="Yes",
        no=None,
        max_tokens=1024,
    ),
)


def recipe_for(names: Sequence[str], kind: str) -> Recipe | None:
    """The recipe of a model that goes by these names."""
    return next(
        (
            recipe
            for recipe in RECIPES
            if kind in recipe.kinds and any(re.search(recipe.models, name, re.IGNORECASE) for name in names)
        ),
        None,
    )


def recipe_named(name: str) -> Recipe | None:
    """A recipe by its own name."""
    return next((recipe for recipe in RECIPES if recipe.name == name), None)

"""Recipes: templates and answer tokens of rerankers that publish them only in their own code or on their model card.

Rule: a recipe applies only if both the model's name and its architecture match. Other models need options.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rerank_service.encoding.template import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The prompt and the answer tokens of a family of models."""

    name: str
    models: str
    """Regular expression for hub ids and folder names; matches anywhere in the name, ignoring case."""
    kinds: tuple[str, ...]
    """Allowed values of `model_type` in config.json."""
    template: Template
    yes: str
    """The token whose logit stands for "relevant" in a text generator."""
    no: str | None
    """The token for "not relevant"; None: the logit of `yes` alone is the score."""
    max_tokens: int
    """The limit in the model's own code."""


_CHAT_USER_ENDS = "<|im_end|>\n<|im_start|>assistant\n"

RECIPES = (
    # https://huggingface.co/Qwen/Qwen3-Reranker-0.6B: format_instruction, prefix, suffix, max_length. Versions with a
    # one-label head (tomaarsen/Qwen3-Reranker-0.6B-seq-cls) use the same prompt
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
    # "Yes" alone; 1024 is the limit of get_inputs on the model card. Excluded: the layerwise and lightweight models
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
    """Return the recipe for a model with any of these names and the `model_type` `kind`; None if there is none."""
    return next(
        (
            recipe
            for recipe in RECIPES
            if kind in recipe.kinds and any(re.search(recipe.models, name, re.IGNORECASE) for name in names)
        ),
        None,
    )


def recipe_named(name: str) -> Recipe | None:
    """Return the recipe of that name; None if there is none."""
    return next((recipe for recipe in RECIPES if recipe.name == name), None)

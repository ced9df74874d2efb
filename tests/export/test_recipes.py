"""Recipes: each template writes the published prompt of its family, token by token."""

from pathlib import Path
from typing import Any

import pytest

from rerank_export.scoring.architecture import ENCODER_DECODERS
from rerank_export.scoring.recipe import Recipe
from rerank_export.scoring.recipe_choice import recipe_for, recipes_of_kind, unsupported_family
from rerank_export.scoring.recipes import RECIPES, UNSUPPORTED
from rerank_export.source.model_source import ModelSource
from rerank_export.source.tokenizer_file import read_tokenizer
from rerank_service.encoding.tokenizer import PairTokenizer
from support.decoders import tokenizer
from support.encoder_decoders import write_tokenizer
from support.prompted import BEGIN, begin_texts

QUERIES = ["what is the capital", "is it? ", "ends in a line\n", "🚀", " two  blanks ", "a b\n\n", "…", "<|im_end|> x"]
DOCUMENTS = ["Washington", " x", "", "ends.\n", "(a) 1", "\n\nb", "12345 67", "́ accent", "<|im_end|> x", "?"]
PUBLISHED = [recipe for recipe in RECIPES if recipe.published]
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
    r"|\s+"
)
"""Pre-tokenization pattern of Llama 3. That of Qwen, which the tests' tokenizer has, takes digits one by one."""


def _words(folder: Path, recipe: Recipe) -> Any:
    """Write a tokenizer that splits words as the recipe's family does, and return it as transformers loads it."""
    from tokenizers import Regex, Tokenizer, pre_tokenizers
    from transformers import AutoTokenizer

    if recipe.kinds[0] in ENCODER_DECODERS:
        write_tokenizer(folder)
        (folder / "tokenizer.json").write_bytes(read_tokenizer(ModelSource(folder, "model")))
        return AutoTokenizer.from_pretrained(folder)
    tokenizer().save_pretrained(folder)
    if recipe.published and recipe.published.special_tokens:
        begin_texts(folder, BEGIN)
        path = str(folder / "tokenizer.json")
        changed = Tokenizer.from_file(path)
        changed.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        changed.save(path)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("recipe", PUBLISHED, ids=lambda recipe: recipe.name)
def test_template_has_the_tokens_of_the_published_prompt(recipe: Recipe, tmp_path: Path) -> None:
    """The parts have the token ids of the whole string, also with blanks and line ends at their edges."""
    words, published, template = _words(tmp_path, recipe), recipe.published, recipe.template
    assert published
    pairs = PairTokenizer(tmp_path / "tokenizer.json", max_tokens=1024, template=template)
    for query in QUERIES:
        encoded = pairs.encode_documents(pairs.encode_query(query), DOCUMENTS)
        for document, pair in zip(DOCUMENTS, encoded, strict=True):
            text = published.filled(query, document, template.instruction)
            whole = words(text, add_special_tokens=published.special_tokens).input_ids
            assert [*pair.head.ids, *pair.document, *pair.tail.ids] == whole, (query, document)


@pytest.mark.parametrize(
    ("names", "kind", "recipe"),
    [
        (["Qwen/Qwen3-Reranker-0.6B"], "qwen3", "qwen3-reranker"),
        (["tomaarsen/Qwen3-Reranker-8B-seq-cls"], "qwen3", "qwen3-reranker"),
        (["copy", "Qwen/Qwen3-Reranker-4B"], "qwen3", "qwen3-reranker"),
        (["my-qwen3-reranker"], "qwen3", None),
        (["Qwen/Qwen3-Reranker-0.6B"], "qwen2", None),
        (["mixedbread-ai/mxbai-rerank-large-v2"], "qwen2", "mxbai-rerank-v2"),
        (["BAAI/bge-reranker-v2-gemma"], "gemma", "bge-reranker-v2-gemma"),
        (["bge-reranker-v2-gemma-seq-cls"], "gemma", "bge-reranker-v2-gemma"),
        (["BAAI/bge-reranker-v2.5-gemma2-lightweight"], "gemma2", None),
        (["nvidia/llama-nemotron-rerank-1b-v2"], "llama_bidirec", "nemotron-rerank"),
        (["nvidia/llama-3.2-nv-rerankqa-1b-v2"], "llama_bidirec", "nemotron-rerank"),
        (["nvidia/llama-nemotron-rerank-vl-1b-v2"], "llama_bidirec", None),
        (["nvidia/llama-nemotron-rerank-1b-v2"], "llama", None),
        (["my-reranker"], "llama_bidirec", None),
        (["zeroentropy/zerank-2"], "qwen3", "zerank"),
        (["zerank-1", "Qwen/Qwen3-Reranker-4B"], "qwen3", None),
    ],
    ids=str,
)
def test_recipe_needs_one_name_and_type(names: list[str], kind: str, recipe: str | None) -> None:
    """A name that could mean another model, another type and two families select nothing."""
    found = recipe_for(names, kind)
    assert (found.name if found else None) == recipe
    assert found is None or found in recipes_of_kind(kind)


def test_recipes_have_names_and_sources() -> None:
    """A name selects one recipe, and every value can be looked up."""
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    sources = [source for recipe in RECIPES for source in recipe.sources] + [family.source for family in UNSUPPORTED]
    assert all(source.startswith("https://") for source in sources)
    assert all(recipe.sources for recipe in RECIPES)
    assert unsupported_family(["ContextualAI/ctxl-rerank-v2-instruct-multilingual-1b"]) == UNSUPPORTED[0]

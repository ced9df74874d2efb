"""Small random decoders with a byte-level BPE tokenizer like Qwen's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<bos>"]
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Pre-tokenization pattern of Qwen2 and Qwen3."""
_CORPUS = [
    "what is the capital of the united states? yes no Yes No 1 0",
    "Yes\nNo\nyes\nno\n" * 9,
    "The quick brown fox jumps over the lazy dog. " * 9,
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the",
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n<Query>: <Document>: ",
    "query: document: instruction: You are a search relevance expert who evaluates how well documents match.\n",
    "A: B: Given a query A and a passage B, determine whether the passage contains an answer to the query.\n",
    "Washington is the capital of the United States, a federal district. system user assistant\n\n",
]
SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 5,
    "eos_token_id": 2,
}


def tokenizer() -> Any:
    """Return a tokenizer like Qwen's: byte-level BPE, no special tokens around a text."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        show_progress=False,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(_CORPUS * 2, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=SPECIALS[0],
        eos_token=SPECIALS[2],
        bos_token=SPECIALS[5],
        model_max_length=1024,
    )


def write_decoder(
    folder: Path, family: str, *, head: str, labels: Mapping[int, str] | None = None, **size: Any
) -> Path:
    """Write a model of a family and its tokenizer. The weights have a fixed seed, and logits differ between pairs."""
    import torch
    import transformers

    torch.manual_seed(30)
    words = tokenizer()
    options = SIZE | {"vocab_size": len(words), "id2label": dict(labels or {0: "relevance"})} | size
    kind = getattr(transformers, f"{family}Config")
    settable = {name: value for name, value in options.items() if not isinstance(getattr(kind, name, None), property)}
    model = getattr(transformers, f"{family}For{head}")(kind(**settable))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    return folder

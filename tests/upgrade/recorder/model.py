"""A small BERT with random weights, in the form of the Hugging Face hub."""

import re
from pathlib import Path

TEXTS = [
    "what is the capital of the united states",
    "Washington is the capital of the United States, a federal district",
    "open the sign-in page, choose forgot password, and follow the link",
    "la gripe causa fiebre, tos, dolor de cabeza y cansancio",
    "a launch window to mars opens every 26 months, when the planets line up",
    "The quick brown fox jumps over the lazy dog. ok",
]
_WORDS = 300


def write_model(folder: Path) -> None:
    """Write the model. Its weights are numbers that fp16 holds, so that the exporter stores them in 16 bits, and
    they are large, so that the scores of texts differ."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(20)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    model = BertForSequenceClassification(
        BertConfig(vocab_size=_WORDS, max_position_embeddings=128, num_labels=1, **size)
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_((weight + torch.randn_like(weight) * 0.3).half().float())
    model.eval().save_pretrained(folder)
    tokenizer = BertWordPieceTokenizer(_vocabulary(), lowercase=True)
    BertTokenizerFast(tokenizer_object=tokenizer._tokenizer, model_max_length=128).save_pretrained(folder)


def _vocabulary() -> dict[str, int]:
    """Return the characters and words of the texts. A trained vocabulary would have another order each time."""
    text = " ".join(TEXTS).lower()
    characters = sorted({*text} - {" "})
    words = {word for word in re.findall(r"\w+", text) if len(word) > 1}
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{one}" for one in characters)]
    return {token: number for number, token in enumerate([*tokens, *sorted(words)])}

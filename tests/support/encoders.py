"""Small random cross-encoders in the Hugging Face format, made here: no network, no files from elsewhere."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

CORPUS = [
    "what is the capital of the united states",
    "Washington is the capital of the United States, a federal district",
    "open the sign-in page, choose forgot password, and follow the link",
    "la gripe causa fiebre, tos, dolor de cabeza y cansancio",
    "a launch window to mars opens every 26 months, when the planets line up",
    "The quick brown fox jumps over the lazy dog. ok",
    "The quick brown fox jumps over the lazy dog. " * 9,  # makes its words tokens, so that long texts have fewer tokens
]
_VOCABULARY = 300
_SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": 1,
}
_WIDE: dict[str, Any] = _SMALL | {"hidden_size": 256, "intermediate_size": 512}
"""So wide that OpenVINO quantizes activations."""
_SMALL_DISTILBERT: dict[str, Any] = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "num_labels": 1}


def _pieces(tokenizer: Any, marked: str) -> list[str]:
    """Return a vocabulary: the corpus's characters, plain and with the prefix `marked`, and its commonest words.

    The library's own trainers of these kinds give a different vocabulary, and so different scores, each time.
    """
    texts = map(tokenizer.normalizer.normalize_str, CORPUS)
    words = Counter(word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    characters = sorted({character for word in words for character in word})
    alphabet = dict.fromkeys([*characters, *(marked + character for character in characters)])
    return list(alphabet | dict.fromkeys(sorted(words, key=lambda word: (-words[word], word))))


def _wordpiece(kind: Any) -> Any:
    """Return a WordPiece tokenizer, as in BERT."""
    from tokenizers import BertWordPieceTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_pieces(BertWordPieceTokenizer(), "##")][:_VOCABULARY]
    tokenizer = BertWordPieceTokenizer({piece: at for at, piece in enumerate(pieces)}, lowercase=True)
    return kind(tokenizer_object=tokenizer._tokenizer, model_max_length=512)


def _byte_level() -> Any:
    """Return a byte-level BPE tokenizer, as in RoBERTa."""
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import RobertaTokenizerFast

    tokenizer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(CORPUS, vocab_size=_VOCABULARY, show_progress=False, special_tokens=specials)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return RobertaTokenizerFast(tokenizer_object=tokenizer._tokenizer)


def _unigram() -> Any:
    """Return a Unigram tokenizer, as in XLM-RoBERTa."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import XLMRobertaTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *_pieces(tokenizer, "")][:_VOCABULARY]
    # every piece is likelier than its characters one by one
    tokenizer.model = models.Unigram([(piece, -10.0 - at / _VOCABULARY) for at, piece in enumerate(pieces)], unk_id=3)
    tokenizer.add_special_tokens(pieces[:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return XLMRobertaTokenizerFast(tokenizer_object=tokenizer)


def _bert() -> tuple[Any, Any]:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    config = BertConfig(vocab_size=_VOCABULARY, **_SMALL)
    return BertForSequenceClassification(config), _wordpiece(BertTokenizerFast)


def _bert_wide() -> tuple[Any, Any]:
    """Return a BERT so wide that the weights of its norms are stored in a file beside the graph, as in real models."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    config = BertConfig(vocab_size=_VOCABULARY, **(_SMALL | {"hidden_size": 320}))
    return BertForSequenceClassification(config), _wordpiece(BertTokenizerFast)


def _roberta() -> tuple[Any, Any]:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(vocab_size=_VOCABULARY, max_position_embeddings=514, type_vocab_size=1, **_SMALL)
    return RobertaForSequenceClassification(config), _byte_level()


def _xlm_roberta(size: dict[str, Any] = _SMALL) -> tuple[Any, Any]:
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    config = XLMRobertaConfig(vocab_size=_VOCABULARY, max_position_embeddings=514, type_vocab_size=1, **size)
    return XLMRobertaForSequenceClassification(config), _unigram()


def _xlm_roberta_xl() -> tuple[Any, Any]:
    from transformers import XLMRobertaXLConfig, XLMRobertaXLForSequenceClassification

    config = XLMRobertaXLConfig(vocab_size=_VOCABULARY, max_position_embeddings=514, type_vocab_size=1, **_SMALL)
    return XLMRobertaXLForSequenceClassification(config), _unigram()


def _longformer() -> tuple[Any, Any]:
    from transformers import LongformerConfig, LongformerForSequenceClassification

    size = {"max_position_embeddings": 514, "type_vocab_size": 1, "attention_window": [16, 32]}
    config = LongformerConfig(vocab_size=_VOCABULARY, **size, **_SMALL)
    return LongformerForSequenceClassification(config), _byte_level()


def _camembert_types() -> tuple[Any, Any]:
    """Return a CamemBERT with two token types, which optimum would leave out of the graph."""
    from transformers import CamembertConfig, CamembertForSequenceClassification

    sizes = {"max_position_embeddings": 513, "type_vocab_size": 2, "pad_token_id": 0}
    return CamembertForSequenceClassification(CamembertConfig(vocab_size=_VOCABULARY, **sizes, **_SMALL)), _plain()


def _big_bird() -> tuple[Any, Any]:
    """Return a BigBird that attends to blocks above 5 x 128 tokens."""
    from transformers import BigBirdConfig, BigBirdForSequenceClassification

    blocks = {"attention_type": "block_sparse", "block_size": 128, "num_random_blocks": 0}
    config = BigBirdConfig(vocab_size=_VOCABULARY, max_position_embeddings=1024, pad_token_id=0, **blocks, **_SMALL)
    return BigBirdForSequenceClassification(config), _plain()


def _ernie() -> tuple[Any, Any]:
    from transformers import BertTokenizerFast, ErnieConfig, ErnieForSequenceClassification

    config = ErnieConfig(vocab_size=_VOCABULARY, use_task_id=True, **_SMALL)
    return ErnieForSequenceClassification(config), _wordpiece(BertTokenizerFast)


def _distilbert() -> tuple[Any, Any]:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizerFast

    config = DistilBertConfig(vocab_size=_VOCABULARY, **_SMALL_DISTILBERT)
    return DistilBertForSequenceClassification(config), _wordpiece(DistilBertTokenizerFast)


def _electra() -> tuple[Any, Any]:
    from transformers import ElectraConfig, ElectraForSequenceClassification, ElectraTokenizerFast

    config = ElectraConfig(vocab_size=_VOCABULARY, embedding_size=16, **_SMALL)
    return ElectraForSequenceClassification(config), _wordpiece(ElectraTokenizerFast)


def _plain(names: tuple[str, ...] = ("input_ids", "token_type_ids", "attention_mask"), window: int = 512) -> Any:
    """Return a WordPiece tokenizer of no particular architecture."""
    from transformers import PreTrainedTokenizerFast

    words = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}

    def kind(*, tokenizer_object: Any, model_max_length: int) -> Any:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer_object, model_max_length=window, model_input_names=list(names), **words
        )

    return _wordpiece(kind)


def _mpnet() -> tuple[Any, Any]:
    from transformers import MPNetConfig, MPNetForSequenceClassification

    config = MPNetConfig(vocab_size=_VOCABULARY, max_position_embeddings=514, pad_token_id=1, **_SMALL)
    tokenizer = _byte_level()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return MPNetForSequenceClassification(config), tokenizer


def _deberta(size: dict[str, Any] = _SMALL) -> tuple[Any, Any]:
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    buckets = {"relative_attention": True, "position_buckets": 32, "norm_rel_ebd": "layer_norm", "share_att_key": True}
    placed = {"pos_att_type": "p2c|c2p", "position_biased_input": False, "type_vocab_size": 0}
    config = DebertaV2Config(vocab_size=_VOCABULARY, **buckets, **placed, **size)
    return DebertaV2ForSequenceClassification(config), _plain()


def _albert() -> tuple[Any, Any]:
    from transformers import AlbertConfig, AlbertForSequenceClassification

    config = AlbertConfig(vocab_size=_VOCABULARY, embedding_size=16, pad_token_id=0, **_SMALL)
    return AlbertForSequenceClassification(config), _plain()


def _modernbert(pooling: str = "cls", positions: int = 512, small: dict[str, Any] = _SMALL) -> tuple[Any, Any]:
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    tokens = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    attention = {"local_attention": 16, "global_attn_every_n_layers": 2, "reference_compile": False}
    size = {"vocab_size": _VOCABULARY, "max_position_embeddings": positions, "classifier_pooling": pooling}
    config = ModernBertConfig(**tokens, **attention, **size, **small)
    return ModernBertForSequenceClassification(config), _plain(("input_ids", "attention_mask"), positions)


def _modernbert_mean() -> tuple[Any, Any]:
    return _modernbert("mean")


def _modernbert_long() -> tuple[Any, Any]:
    return _modernbert("mean", 8192, _SMALL | {"num_attention_heads": 1})


def _modernbert_wide() -> tuple[Any, Any]:
    return _modernbert("mean", small=_WIDE)


def _deberta_wide() -> tuple[Any, Any]:
    return _deberta(_WIDE)


def _xlm_roberta_wide() -> tuple[Any, Any]:
    return _xlm_roberta(_WIDE)


_BUILDERS = {
    "bert-wide": _bert_wide,
    "deberta-v2-wide": _deberta_wide,
    "modernbert-wide": _modernbert_wide,
    "xlm-roberta-wide": _xlm_roberta_wide,
    "mpnet": _mpnet,
    "deberta-v2": _deberta,
    "albert": _albert,
    "modernbert": _modernbert,
    "modernbert-mean": _modernbert_mean,
    "modernbert-long": _modernbert_long,
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _xlm_roberta,
    "distilbert": _distilbert,
    "electra": _electra,
    "ernie": _ernie,
    "xlm-roberta-xl": _xlm_roberta_xl,
    "longformer": _longformer,
    "camembert-types": _camembert_types,
    "big_bird": _big_bird,
}


def write_encoder(folder: Path, architecture: str) -> Path:
    """Write a model with fixed weights, large enough for its logits to differ, and its tokenizer; return the folder."""
    import torch

    torch.manual_seed(20)
    model, tokenizer = _BUILDERS[architecture]()
    noise = 0.05 if model.config.hidden_size == _WIDE["hidden_size"] else 0.15
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * noise)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def set_positions(folder: Path, positions: int) -> Path:
    """Give the BERT in a folder so many positions, and return the folder. Those from 512 on repeat the first ones."""
    from safetensors.torch import load_file, save_file

    table, weights = "bert.embeddings.position_embeddings.weight", load_file(folder / "model.safetensors")
    weights[table] = weights[table].repeat(-(-positions // len(weights[table])), 1)[:positions].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    for name, field in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | {field: positions}))
    return folder

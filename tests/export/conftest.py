"""Small random cross-encoders in the form of the Hugging Face hub, made here: no network, no files from elsewhere."""

import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rerank_service.models.bundle import Bundle

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is: in models so small threads only wait for one another
os.environ["RERANK_PARITY_QUERIES"] = "2"  # of 200: each export is compared with torch

HERE = Path(__file__).parent
CORPUS = [
    "what is the capital of the united states",
    "Washington is the capital of the United States, a federal district",
    "open the sign-in page, choose forgot password, and follow the link",
    "la gripe causa fiebre, tos, dolor de cabeza y cansancio",
    "a launch window to mars opens every 26 months, when the planets line up",
    "The quick brown fox jumps over the lazy dog. ok",
    "The quick brown fox jumps over the lazy dog. " * 9,  # so that its words are tokens, and long texts not too long
]
VOCABULARY = 300
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_labels": 1,
}
SMALL_DISTILBERT: dict[str, Any] = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "num_labels": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """torch, transformers and optimum warn of one another, which is not ours to mend; ours must stay quiet."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("default"))


def _pieces(tokenizer: Any, marked: str) -> list[str]:
    """Characters, plain and `marked` as what continues a word, and the commonest words of the corpus. The library's own
    trainers of these two kinds give another vocabulary each time, and other scores with it."""
    texts = map(tokenizer.normalizer.normalize_str, CORPUS)
    words = Counter(word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    characters = sorted({character for word in words for character in word})
    alphabet = dict.fromkeys([*characters, *(marked + character for character in characters)])
    return list(alphabet | dict.fromkeys(sorted(words, key=lambda word: (-words[word], word))))


def _wordpiece(kind: Any) -> Any:
    """A tokenizer as BERT and its kin have it."""
    from tokenizers import BertWordPieceTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_pieces(BertWordPieceTokenizer(), "##")][:VOCABULARY]
    tokenizer = BertWordPieceTokenizer({piece: at for at, piece in enumerate(pieces)}, lowercase=True)
    return kind(tokenizer_object=tokenizer._tokenizer, model_max_length=512)


def _byte_level() -> Any:
    """A tokenizer as RoBERTa has it."""
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import RobertaTokenizerFast

    tokenizer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(CORPUS, vocab_size=VOCABULARY, show_progress=False, special_tokens=specials)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return RobertaTokenizerFast(tokenizer_object=tokenizer._tokenizer)


def _unigram() -> Any:
    """A tokenizer as XLM-RoBERTa has it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import XLMRobertaTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *_pieces(tokenizer, "")][:VOCABULARY]
    # the longer, the likelier than its characters one by one
    tokenizer.model = models.Unigram([(piece, -10.0 - at / VOCABULARY) for at, piece in enumerate(pieces)], unk_id=3)
    tokenizer.add_special_tokens(pieces[:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return XLMRobertaTokenizerFast(tokenizer_object=tokenizer)


def _bert() -> tuple[Any, Any]:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    config = BertConfig(vocab_size=VOCABULARY, **SMALL)
    return BertForSequenceClassification(config), _wordpiece(BertTokenizerFast)


def _bert_wide() -> tuple[Any, Any]:
    """Wide enough that its norms' weights are stored in a file beside the graph, as those of real models are."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    config = BertConfig(vocab_size=VOCABULARY, **(SMALL | {"hidden_size": 320}))
    return BertForSequenceClassification(config), _wordpiece(BertTokenizerFast)


def _roberta() -> tuple[Any, Any]:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(vocab_size=VOCABULARY, max_position_embeddings=514, type_vocab_size=1, **SMALL)
    return RobertaForSequenceClassification(config), _byte_level()


def _xlm_roberta() -> tuple[Any, Any]:
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    config = XLMRobertaConfig(vocab_size=VOCABULARY, max_position_embeddings=514, type_vocab_size=1, **SMALL)
    return XLMRobertaForSequenceClassification(config), _unigram()


def _distilbert() -> tuple[Any, Any]:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizerFast

    config = DistilBertConfig(vocab_size=VOCABULARY, **SMALL_DISTILBERT)
    return DistilBertForSequenceClassification(config), _wordpiece(DistilBertTokenizerFast)


def _electra() -> tuple[Any, Any]:
    from transformers import ElectraConfig, ElectraForSequenceClassification, ElectraTokenizerFast

    config = ElectraConfig(vocab_size=VOCABULARY, embedding_size=16, **SMALL)
    return ElectraForSequenceClassification(config), _wordpiece(ElectraTokenizerFast)


def _plain(names: tuple[str, ...] = ("input_ids", "token_type_ids", "attention_mask"), window: int = 512) -> Any:
    """A WordPiece tokenizer that is not bound to a family."""
    from transformers import PreTrainedTokenizerFast

    words = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}

    def kind(*, tokenizer_object: Any, model_max_length: int) -> Any:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer_object, model_max_length=window, model_input_names=list(names), **words
        )

    return _wordpiece(kind)


def _mpnet() -> tuple[Any, Any]:
    from transformers import MPNetConfig, MPNetForSequenceClassification

    config = MPNetConfig(vocab_size=VOCABULARY, max_position_embeddings=514, pad_token_id=1, **SMALL)
    tokenizer = _byte_level()
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return MPNetForSequenceClassification(config), tokenizer


def _deberta() -> tuple[Any, Any]:
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    buckets = {"relative_attention": True, "position_buckets": 32, "norm_rel_ebd": "layer_norm", "share_att_key": True}
    placed = {"pos_att_type": "p2c|c2p", "position_biased_input": False, "type_vocab_size": 0}
    config = DebertaV2Config(vocab_size=VOCABULARY, **buckets, **placed, **SMALL)
    return DebertaV2ForSequenceClassification(config), _plain()


def _albert() -> tuple[Any, Any]:
    from transformers import AlbertConfig, AlbertForSequenceClassification

    config = AlbertConfig(vocab_size=VOCABULARY, embedding_size=16, pad_token_id=0, **SMALL)
    return AlbertForSequenceClassification(config), _plain()


def _modernbert(pooling: str = "cls", positions: int = 512) -> tuple[Any, Any]:
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    tokens = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    attention = {"local_attention": 16, "global_attn_every_n_layers": 2, "reference_compile": False}
    size = {"vocab_size": VOCABULARY, "max_position_embeddings": positions, "classifier_pooling": pooling}
    small = SMALL if positions == 512 else SMALL | {"num_attention_heads": 1}
    config = ModernBertConfig(**tokens, **attention, **size, **small)
    return ModernBertForSequenceClassification(config), _plain(("input_ids", "attention_mask"), positions)


def _modernbert_mean() -> tuple[Any, Any]:
    return _modernbert("mean")


def _modernbert_long() -> tuple[Any, Any]:
    return _modernbert("mean", 8192)


FAMILIES = {
    "bert-wide": _bert_wide,
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
}


def _make(family: str) -> tuple[Any, Any]:
    """A model with weights that are always the same, large enough for its logits to differ, and its tokenizer."""
    import torch

    torch.manual_seed(20)
    model, tokenizer = FAMILIES[family]()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.15)
    return model.eval(), tokenizer


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's model; written once, so not to be changed."""

    @cache
    def write(family: str) -> Path:
        folder = tmp_path_factory.mktemp("sources") / family
        for part in _make(family):
            part.save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def bundles(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The bundle of a family's model; exported once, so not to be changed."""

    @cache
    def make(family: str) -> Bundle:
        from rerank_export.exporter import export

        return export(str(sources(family)), tmp_path_factory.mktemp("bundles") / family).bundle

    return make

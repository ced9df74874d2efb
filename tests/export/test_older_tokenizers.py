"""Models that publish their tokenizer in a format older than tokenizer.json: converted, or refused with the reason."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.source.model_source import ModelSource
from rerank_export.source.tokenizer_file import read_tokenizer
from rerank_service.ranking.request import TooLong
from support.older_tokenizers import byte_level, sentencepiece, t5_sentencepiece, tiktoken, wordpiece
from support.running import running

TEXT = "what is the capital, fiebre"
QUERY = "which planets line up for a launch"
DOCUMENTS = ["a launch window to mars", "", "fiebre 🚀 und Kopfweh", "ok", "over the lazy dog " * 300]


def _folder(folder: Path, kind: str, name: str | None, files: dict[str, bytes]) -> ModelSource:
    """Write a folder that has a tokenizer and no weights."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    if name:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return ModelSource(folder, "model")


@pytest.mark.parametrize(
    ("kind", "name", "file"),
    [
        ("xlm-roberta", "XLMRobertaTokenizer", "sentencepiece.bpe.model"),
        ("xlm-roberta", None, "sentencepiece.bpe.model"),
        ("deberta-v2", "DebertaV2Tokenizer", "spm.model"),
        ("deberta-v2", None, "spm.model"),
        ("camembert", "CamembertTokenizer", "sentencepiece.bpe.model"),
        ("mbart", "MBartTokenizer", "sentencepiece.bpe.model"),
        ("albert", "AlbertTokenizer", "spiece.model"),
        ("big_bird", "BigBirdTokenizer", "spiece.model"),
        ("rembert", "RemBertTokenizer", "sentencepiece.model"),
        ("xlnet", "XLNetTokenizer", "spiece.model"),
    ],
)
def test_sentencepiece_model_is_converted(kind: str, name: str | None, file: str, tmp_path: Path) -> None:
    """The tokens are those of the library that trained the model, between the special tokens of the class."""
    from sentencepiece import SentencePieceProcessor

    model = sentencepiece()
    converted = read_tokenizer(_folder(tmp_path / "model", kind, name, {file: model}))
    tokens = Tokenizer.from_str(converted.decode()).encode(TEXT, add_special_tokens=False).tokens
    assert tokens == SentencePieceProcessor(model_proto=model).encode(TEXT, out_type=str)


@pytest.mark.parametrize(
    ("kind", "name"), [("llama", "LlamaTokenizer"), ("gemma", "GemmaTokenizer"), ("mistral", "LlamaTokenizer")]
)
def test_sentencepiece_model_with_bytes_is_converted(kind: str, name: str, tmp_path: Path) -> None:
    """Characters that the model does not know become bytes, as in Llama and Gemma."""
    model = sentencepiece(model_type="bpe", byte_fallback=True, vocab_size=450)
    converted = read_tokenizer(_folder(tmp_path / "model", kind, name, {"tokenizer.model": model}))
    tokens = Tokenizer.from_str(converted.decode()).encode("the capital 🚀", add_special_tokens=False).tokens
    assert tokens[-5:] == ["▁", "<0xF0>", "<0x9F>", "<0x9A>", "<0x80>"]


@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
def test_tokenizer_of_t5_is_converted(kind: str, tmp_path: Path) -> None:
    """A text ends with </s>."""
    converted = read_tokenizer(_folder(tmp_path / "model", kind, "T5Tokenizer", {"spiece.model": t5_sentencepiece()}))
    assert Tokenizer.from_str(converted.decode()).encode(TEXT).tokens[-1] == "</s>"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("roberta", "RobertaTokenizer"),
        ("longformer", "LongformerTokenizer"),
        ("qwen2", "Qwen2Tokenizer"),
        ("gpt2", "GPT2Tokenizer"),
    ],
)
def test_vocabulary_with_merges_is_converted(kind: str, name: str, tmp_path: Path) -> None:
    """vocab.json and merges.txt are enough."""
    source = _folder(tmp_path / "model", kind, name, dict(byte_level(tmp_path)))
    tokens = Tokenizer.from_str(read_tokenizer(source).decode()).encode("the capital", add_special_tokens=False).tokens
    assert "".join(tokens) == "theĠcapital"


@pytest.mark.parametrize(("kind", "name"), [("bert", "BertTokenizer"), ("ernie", "BertTokenizer"), ("ernie", None)])
def test_vocabulary_of_bert_is_converted(kind: str, name: str | None, tmp_path: Path) -> None:
    """vocab.txt is enough."""
    converted = read_tokenizer(_folder(tmp_path / "model", kind, name, {"vocab.txt": wordpiece()}))
    assert Tokenizer.from_str(converted.decode()).encode("ok").tokens == ["[CLS]", "o", "##k", "[SEP]"]


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "LlamaTokenizer"])
def test_tiktoken_file_is_converted(name: str, tmp_path: Path) -> None:
    """The tokenizer.model of Llama 3 is a file of tiktoken, not of SentencePiece."""
    converted = read_tokenizer(_folder(tmp_path / "model", "llama", name, {"tokenizer.model": tiktoken()}))
    tokens = Tokenizer.from_str(converted.decode()).encode(" the", add_special_tokens=False).tokens
    assert tokens == ["Ġthe"]


@pytest.mark.parametrize(
    ("kind", "name", "files", "reason"),
    [
        (
            "bert",
            "BertJapaneseTokenizer",
            {"vocab.txt": wordpiece()},
            "model has no tokenizer.json, and transformers cannot convert a BertJapaneseTokenizer to it",
        ),
        (
            "roformer",
            "RoFormerTokenizer",
            {"vocab.txt": wordpiece()},
            "model has no tokenizer.json, and transformers cannot convert a RoFormerTokenizer to it",
        ),
        (
            "roberta",
            "PhobertTokenizer",
            {"vocab.txt": b"a 1\n", "bpe.codes": b"a b 1\n"},
            "model has no tokenizer.json, and transformers cannot convert a PhobertTokenizer to it",
        ),
        (
            "canine",
            "CanineTokenizer",
            {},
            "model has no tokenizer.json, and transformers cannot convert a CanineTokenizer to it",
        ),
        (
            "xlm-roberta",
            "XLMRobertaTokenizer",
            {},
            (
                "model has no tokenizer: neither tokenizer.json nor a file of an older format such as "
                "sentencepiece.bpe.model, spm.model or vocab.txt; fetch a complete model"
            ),
        ),
        (
            "xlm-roberta",
            "PreTrainedTokenizerFast",
            {"sentencepiece.bpe.model": b""},
            (
                "model has no tokenizer.json, and PreTrainedTokenizerFast, the class in tokenizer_config.json, does "
                "not read sentencepiece.bpe.model: fetch a complete model, or correct tokenizer_class in "
                "tokenizer_config.json"
            ),
        ),
        (
            "xlm-roberta",
            "XLMRobertaTokenizer",
            {"sentencepiece.bpe.model": b"no model"},
            (
                "model has no tokenizer.json, and transformers cannot read sentencepiece.bpe.model as a "
                "XLMRobertaTokenizer: the files are damaged or of another class"
            ),
        ),
    ],
    ids=["japanese", "chinese", "vietnamese", "characters", "no file", "other class", "damaged"],
)
def test_tokenizer_that_cannot_be_converted_is_refused(
    kind: str, name: str, files: dict[str, bytes], reason: str, tmp_path: Path
) -> None:
    """The message names the class or the file. No package would help."""
    with pytest.raises(ExportFailed) as caught:
        read_tokenizer(_folder(tmp_path / "model", kind, name, files))
    assert str(caught.value) == reason


def test_missing_package_is_named(tmp_path: Path) -> None:
    """HerBERT's words are split by sacremoses, which the exporter does not install."""
    source = _folder(tmp_path / "model", "bert", "HerbertTokenizer", dict(byte_level(tmp_path)))
    with pytest.raises(
        ExportFailed, match=r"a package that converts vocab.json and merges.txt to it is missing.*sacremo"
    ):
        read_tokenizer(source)


def test_package_of_the_extra_is_named_if_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment may be older than the extra."""
    source = _folder(tmp_path / "model", "xlm-roberta", "XLMRobertaTokenizer", {"sentencepiece.bpe.model": b"no model"})
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ExportFailed, match=r"sentencepiece, which may convert sentencepiece.bpe.model to it, is not"):
        read_tokenizer(source)


@pytest.mark.parametrize(
    ("architecture", "name", "file"),
    [
        ("xlm-roberta", "XLMRobertaTokenizer", "sentencepiece.bpe.model"),
        ("deberta-v2", "DebertaV2Tokenizer", "spm.model"),
    ],
)
async def test_model_with_only_a_sentencepiece_file_is_served(
    architecture: str, name: str, file: str, sources: Callable[[str], Path], tmp_path: Path
) -> None:
    """Its logits are those of transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = shutil.copytree(sources(architecture), tmp_path / "model")
    for old in ("tokenizer.json", "special_tokens_map.json"):
        (source / old).unlink()
    (source / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, "model_max_length": 512}))
    (source / file).write_bytes(sentencepiece())
    bundle = export(ExportRequest(str(source), tmp_path / "out")).bundle
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source)
    queries = [QUERY] * len(DOCUMENTS)
    batch = tokenizer(queries, DOCUMENTS, padding=True, truncation="only_second", max_length=512, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**batch).logits[:, 0].tolist()
    async with running(bundle) as core:
        ranking = await core.rank(QUERY, *DOCUMENTS, too_long=TooLong.CUT)
    logits = {document.index: document.logit for document in ranking}
    assert [logits[index] for index in range(len(DOCUMENTS))] == pytest.approx(expected, abs=1e-5)

"""Token limit, padding and lower-casing of a hub folder, by config.json and the files beside it."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import open_bundle
from rerank_service.models.hub_config import HubFiles, token_limit
from support.hub_folder import rejection, write_hub_folder, write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small model without a manifest, as optimum writes it."""
    return write_hub_folder(tmp_path / "small")


@pytest.mark.parametrize(
    ("files", "pad"),
    [
        ({"config.json": {"pad_token_id": 7}, "tokenizer_config.json": {"pad_token": "9"}}, 7),
        ({"tokenizer_config.json": {"pad_token": "9"}}, 13),
        ({"tokenizer_config.json": {"pad_token": {"content": "9"}}}, 13),
        ({"tokenizer_config.json": {"pad_token": "not a word"}}, 0),
        ({"config.json": {"model_type": "roberta"}}, 1),
        ({}, 0),
    ],
    ids=str,
)
def test_pad_id_sources(files: Mapping[str, Mapping[str, object]], pad: int, folder: Path) -> None:
    """config.json, then the tokenizer, then the default of the architecture."""
    for name, content in files.items():
        write_json(folder / name, **content)
    assert open_bundle(folder).manifest.pad_id == pad


def test_pad_id_of_the_padding_in_tokenizer_json(folder: Path) -> None:
    """Older tools wrote it there."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=5)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert open_bundle(folder).manifest.pad_id == 5


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("config.json", {"max_position_embeddings": "abc"}, "max_position_embeddings"),
        ("config.json", {"max_position_embeddings": -5}, "max_position_embeddings"),
        ("config.json", {"max_position_embeddings": 4}, "a token limit of 4"),
        ("config.json", {"n_positions": -5}, "n_positions"),
        ("config.json", {"max_position_embeddings": 1e400}, "max_position_embeddings"),
        ("config.json", {"pad_token_id": "x"}, "pad_token_id"),
        ("config.json", {"pad_token_id": -1}, "pad_token_id"),
        ("config.json", {"pad_token_id": 2**31}, "pad_token_id"),
        ("config.json", {"id2label": 5}, "id2label"),
        ("config.json", {"num_labels": "one"}, "num_labels"),
        ("config.json", {"num_labels": 2_000_000_000}, "num_labels"),
        ("config.json", {"num_labels": -1}, "num_labels"),
        ("config.json", {"architectures": 5}, "architectures"),
        ("config.json", {"architectures": [5]}, "architectures"),
        (
            "config.json",
            {"model_type": "mpnet", "max_position_embeddings": 9, "pad_token_id": 7},
            "a token limit of 1;",
        ),
        ("tokenizer_config.json", {"model_max_length": "abc"}, "model_max_length"),
        ("tokenizer_config.json", {"model_max_length": -1}, "model_max_length"),
        ("tokenizer_config.json", {"model_max_length": float("nan")}, "model_max_length"),
    ],
)
def test_invalid_field_is_rejected(folder: Path, name: str, change: dict[str, object], words: str) -> None:
    """The message is one line that names the file and the field."""
    (folder / name).write_text(json.dumps({"num_labels": 1} | change))
    with pytest.raises(BundleInvalid, match=rf"/{name}.*{words}") as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)


def test_config_must_be_a_json_object(folder: Path) -> None:
    """A list is rejected."""
    (folder / "config.json").write_text("[]")
    with pytest.raises(BundleInvalid, match=r"config\.json is not a JSON object"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("config", "tokenizer_config", "transformer", "tokens"),
    [
        ({"max_position_embeddings": 512}, {}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 256}, {}, 256),
        ({"max_position_embeddings": 512}, {"model_max_length": 10**30}, {}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1}, {}, {}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta"}, {}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 1e30}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": None}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 256}, {"max_seq_length": 128}, 128),
        ({"max_position_embeddings": 512}, {}, {"max_seq_length": 1024, "do_lower_case": False}, 512),
        ({"max_position_embeddings": 512}, {}, {"max_seq_length": None}, 512),
        ({"max_position_embeddings": 10**30}, {}, {}, 2**20),
        ({"n_positions": 1024, "model_type": "gpt2"}, {}, {}, 1024),
        ({"n_positions": 256, "model_type": "nomic_bert"}, {"model_max_length": 8192}, {}, 256),
        ({"n_positions": 2048, "max_position_embeddings": None}, {}, {}, 2048),
        ({"n_positions": 512, "model_type": "t5"}, {"model_max_length": 4096}, {}, 4096),
        ({"n_positions": 256, "model_type": "umt5"}, {}, {}, 512),
        ({}, {"model_max_length": 8192}, {}, 8192),
        ({}, {"model_max_length": 1e30}, {"max_seq_length": 256}, 256),
        ({}, {"model_max_length": 1e30}, {}, 512),
        ({}, {}, {}, 512),
    ],
)
def test_token_limit_is_the_smallest_of_the_stated_limits(
    config: dict[str, object],
    tokenizer_config: dict[str, object],
    transformer: dict[str, object],
    tokens: int,
    tmp_path: Path,
) -> None:
    """Limits of config.json, the tokenizer and sentence-transformers. RoBERTa never uses its first positions."""
    write_json(tmp_path / "config.json", **config)
    write_json(tmp_path / "tokenizer_config.json", **tokenizer_config)
    write_json(tmp_path / "sentence_bert_config.json", **transformer)
    assert token_limit(HubFiles(tmp_path)) == tokens


def test_invalid_config_has_no_token_limit(tmp_path: Path) -> None:
    """The exporter calls the function with a config as well."""
    with pytest.raises(BundleInvalid, match=r"config\.json: max_position_embeddings"):
        token_limit(HubFiles(tmp_path, {"max_position_embeddings": "abc"}))


@pytest.mark.parametrize(
    ("lowers", "files", "reason"),
    [
        (
            True,
            {"tokenizer_config.json": {"do_lower_case": False}},
            "do_lower_case false, but tokenizer.json does the opposite",
        ),
        (
            False,
            {"tokenizer_config.json": {"do_lower_case": True}},
            "do_lower_case true, but tokenizer.json does the opposite",
        ),
        (
            False,
            {"modules.json": {}, "sentence_bert_config.json": {"do_lower_case": True}},
            "has do_lower_case true, but tokenizer.json does not lower-case texts: add a Lowercase normalizer",
        ),
        (True, {"tokenizer_config.json": {"do_lower_case": True}}, ""),
        (True, {"modules.json": {}, "sentence_bert_config.json": {"do_lower_case": True}}, ""),
        (False, {"sentence_bert_config.json": {"do_lower_case": True}}, ""),
        (
            True,
            {"tokenizer_config.json": {"do_lower_case": False, "tokenizer_class": "PreTrainedTokenizerFast"}},
            "",
        ),
    ],
)
def test_contradicting_lower_case_flags_are_rejected(
    lowers: bool, files: Mapping[str, Mapping[str, object]], reason: str, folder: Path
) -> None:
    """transformers and sentence-transformers use flags that tokenizer.json does not have. The tokens would differ."""
    from tokenizers import Tokenizer, normalizers

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowers)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        write_json(folder / name, **content)
    if reason:
        assert reason in rejection(folder)
    else:
        open_bundle(folder)

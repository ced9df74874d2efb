"""Lengths of texts before they are tokenized."""

import json

import pytest

from rerank_service.encoding.text_length import is_dense, json_length, text_length

ENGLISH = "Paris is the capital of France, a city on the river Seine. "


@pytest.mark.parametrize(
    ("text", "dense"),
    [
        ("", False),
        (ENGLISH, False),
        (f"“{ENGLISH}” they say…", False),
        ("Die schöne Müllerin wäscht für Gäste größere Gläser.", False),
        ("En été, cet élève préféré a été très égaré.", False),
        ("Москва, столица России.", True),
        ("巴黎是法国的首都", True),
        ("東京都 Tokyo 大阪府 Osaka 京都府 Kyoto", True),
        (ENGLISH * 1_000 + "巴黎" * 1_000, False),
        (ENGLISH * 100 + "巴黎" * 50_000, True),
        ("\ud800" * 3, True),
    ],
)
def test_texts_with_many_bytes_per_character_are_dense(text: str, dense: bool) -> None:
    """Some quotation marks or accents do not count. All parts of a long text do."""
    assert text_length(text) == (len(text), dense)
    assert is_dense(text * 1_000) == dense


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("text", [ENGLISH, f"“{ENGLISH}”", "巴黎是法国的首都" * 10, "Москва, столица России." * 10])
def test_json_is_measured_without_parsing(text: str, ascii_only: bool) -> None:
    """Escapes count as their characters."""
    value = {"text": text * 10}
    length = json_length(json.dumps(value, ensure_ascii=ascii_only))
    assert length.chars == len(json.dumps(value, ensure_ascii=False))
    assert length.is_dense == is_dense(text)


@pytest.mark.parametrize("text", [r"\\u" * 9, r"\\\\u" * 9, r"\u" * 9, r"\\u0041" * 9])
def test_escaped_backslashes_are_no_escapes_of_characters(text: str) -> None:
    """A length is never negative, not even of JSON that is invalid."""
    assert json_length(text).chars >= 9

"""Queries that are too long: cut, or rejected with an error that names the field and the bound."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from rerank_service.encoding.pair_limits import PairLimits
from rerank_service.encoding.template import Template
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import InvalidRequest
from rerank_service.models.files import STARTER
from rerank_service.ranking.request import CutSide

_STARTER = PairTokenizer(STARTER / "tokenizer.json", max_tokens=64)
_QUERY = " ".join(["first"] * 30 + ["last"] * 30)
_TEMPLATE = Template(before=("task: {instruction}\n", "query: {query}\n"), document="document: {document}")


def _text(ids: list[int]) -> str:
    return Tokenizer.from_file(str(STARTER / "tokenizer.json")).decode(ids)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tokenizer with one token for each character."""
    characters = "abcdefghijklmnopqrstuvwxyz :\n"
    tokenizer = Tokenizer(models.WordLevel({char: at for at, char in enumerate(characters)} | {"?": 99}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    path = tmp_path_factory.mktemp("letters") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize(("side", "kept"), [(CutSide.RIGHT, "first"), (CutSide.LEFT, "last")])
def test_query_keeps_its_start_or_its_end(side: CutSide, kept: str) -> None:
    """As many tokens as leave a document its room."""
    limits = PairLimits(tokens=32, min_room=8, cut_query=True, cut_side=side)
    query = _STARTER.encode_query(_QUERY, limits=limits)
    assert (query.query_tokens, query.room, query.truncated) == (32 - 4 - 8, 8, True)
    assert _text(query.head.ids.tolist()).split() == [kept] * 20


def test_query_that_fits_is_not_cut() -> None:
    """It leaves exactly the room that a document must have."""
    limits = PairLimits(tokens=32, min_room=8, cut_query=True)
    query = _STARTER.encode_query(" ".join(["first"] * 20), limits=limits)
    assert (query.query_tokens, query.room, query.truncated) == (20, 8, False)


def test_limit_of_the_request_cuts_the_query_further() -> None:
    """The document gets what the query leaves."""
    limits = PairLimits(tokens=32, min_room=8, cut_query=True, query_tokens=5)
    query = _STARTER.encode_query(_QUERY, limits=limits)
    assert (query.query_tokens, query.room, query.truncated) == (5, 23, True)


def test_query_is_cut_within_its_template(letters: Path) -> None:
    """The text of the template around it stays."""
    tokenizer = PairTokenizer(letters, max_tokens=60, template=_TEMPLATE)
    limits = PairLimits(tokens=60, min_room=10, cut_query=True)
    query = tokenizer.encode_query("abcdefghijklmnopqrstuvwxyz" * 3, limits=limits)
    kept = 60 - 10 - len("query: \ndocument: ")
    assert (query.query_tokens, query.room, query.truncated) == (kept, 10, True)
    assert len(query.head) == len("query: \n") + kept


@pytest.mark.parametrize("most", range(1, 9))
def test_character_of_several_tokens_stays_within_the_limit(tmp_path: Path, most: int) -> None:
    """A cut in the middle of a character removes all of it, unless it is the only one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    vocabulary = {char: at for at, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(path))
    template = Template(before=("{query}",), document="{document}")
    limits = PairLimits(tokens=30, min_room=8, cut_query=True, query_tokens=most)
    query = PairTokenizer(path, max_tokens=30, template=template).encode_query("東京都", limits=limits)
    assert query.query_tokens == max(3, most // 3 * 3)
    assert query.truncated == (most < 9)


def test_query_is_rejected_where_it_must_not_be_cut() -> None:
    """The error names the query, its tokens and the bound."""
    limits = PairLimits(tokens=32, min_room=8)
    with pytest.raises(InvalidRequest, match=r"query has 60 tokens .* at most 32 tokens: .* to at most 20,") as caught:
        _STARTER.encode_query(_QUERY, limits=limits)
    assert (caught.value.field, caught.value.reason) == ("query", "query_too_long")


def test_limit_of_the_request_is_named_as_the_cause() -> None:
    """Not the room for a document, of which there is enough."""
    with pytest.raises(InvalidRequest, match=r"query has 60 tokens and exceeds the limit that the request sets: .* 5,"):
        _STARTER.encode_query(_QUERY, limits=PairLimits(tokens=32, min_room=8, query_tokens=5))


def test_long_instruction_is_rejected_and_does_not_cut_the_query(letters: Path) -> None:
    """Else a few tokens of the query would be scored."""
    tokenizer = PairTokenizer(letters, max_tokens=80, template=_TEMPLATE)
    limits = PairLimits(tokens=80, min_room=20, cut_query=True)
    assert tokenizer.encode_query("q" * 30, "a" * 10, limits).truncated
    assert not tokenizer.encode_query("q" * 5, "a" * 29, limits).truncated
    with pytest.raises(InvalidRequest, match=r"instruction .* leaves 7 of 80 tokens for the query") as caught:
        tokenizer.encode_query("q" * 30, "a" * 28, limits)
    assert (caught.value.field, caught.value.reason) == ("instruction", "instruction_too_long")


def test_pair_limit_below_the_template_is_rejected() -> None:
    """The error names vLLM's field, the only one that sets such a limit, and the smallest value."""
    with pytest.raises(InvalidRequest, match=r"truncate_prompt_tokens is 5, .* at least 6") as caught:
        _STARTER.encode_query("first", limits=PairLimits(tokens=5, min_room=1, cut_query=True))
    assert (caught.value.field, caught.value.reason) == ("truncate_prompt_tokens", "out_of_range")
    assert _STARTER.encode_query(_QUERY, limits=PairLimits(tokens=6, min_room=1, cut_query=True)).query_tokens == 1

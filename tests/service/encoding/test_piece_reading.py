"""The tokens of a text do not depend on how much of it is read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from rerank_service.encoding.piece_reading import piece_chars
from rerank_service.encoding.template import Template
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.files import STARTER
from rerank_service.ranking.request import CutSide
from support.reading_plans import plan_for

_CORPUS = ["planets mars venus aaaa aa a xxxx", "東京は日本の首都です。", "-1,234.5 {}"]
_TEMPLATE = Template(before=("{query}",), document=" Document: {document}", after=("?",))
_MAX_TOKENS = 512

_PARTS = st.builds(
    lambda part, count: part * count,
    st.sampled_from(
        ["mars", "x", "aa", "東京", "🗼", "e\u0301", "a1", "\n", "\t", "\u00a0", " ", "。", "-", "planets "]
    ),
    st.sampled_from([1, 2, 3, 25, 40, 99, 101, 511, 1_024, 1_990, 2_047, 2_048, 2_049, 4_100]),
)
_TEXT = st.lists(_PARTS, max_size=6).map("".join)


def _saved(tokenizer: Tokenizer, path: Path) -> PairTokenizer:
    tokenizer.save(str(path))
    return PairTokenizer(path, max_tokens=_MAX_TOKENS, template=_TEMPLATE)


def _unigram(path: Path) -> PairTokenizer:
    """Like the tokenizer of XLM-RoBERTa: a text without blanks is one word, and its best parts are searched."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        _CORPUS * 3, trainers.UnigramTrainer(vocab_size=60, unk_token="?", special_tokens=["?"])
    )
    return _saved(tokenizer, path)


def _bytewise(path: Path) -> PairTokenizer:
    """Like the tokenizer of Gemma: the whole text is one word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(_CORPUS * 3, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return _saved(tokenizer, path)


@pytest.fixture(scope="module")
def tokenizers_by_kind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PairTokenizer]:
    """A tokenizer of each kind."""
    folder = tmp_path_factory.mktemp("tokenizers")
    starter = PairTokenizer(STARTER / "tokenizer.json", max_tokens=_MAX_TOKENS)
    return {"wordpiece": starter, "unigram": _unigram(folder / "u.json"), "bytes": _bytewise(folder / "b.json")}


def _document(pairs: PairTokenizer, text: str, tokens: int, side: CutSide) -> tuple[list[int], bool]:
    query = pairs.encode_query("q")
    (pair,) = pairs.encode_documents(query, [text], max_tokens_per_doc=tokens, cut_side=side)
    ids = pair.document.tolist()
    return ids[query.lead_tokens :] if side is CutSide.LEFT and pair.truncated else ids, pair.truncated


@given(
    st.sampled_from(["wordpiece", "unigram", "bytes"]),
    _TEXT,
    st.integers(1, 12) | st.integers(1, 400),
    st.sampled_from(CutSide),
)
def test_tokens_do_not_depend_on_read_length(
    tokenizers_by_kind: dict[str, PairTokenizer], kind: str, text: str, room: int, side: CutSide
) -> None:
    """A document cut to fewer tokens has the first, or the last, of those that it has with more."""
    pairs = tokenizers_by_kind[kind]
    more, more_cut = _document(pairs, text, 450, side)
    fewer, fewer_cut = _document(pairs, text, room, side)
    assert fewer == (more[: len(fewer)] if side is CutSide.RIGHT else more[len(more) - len(fewer) :])
    assert fewer_cut == (more_cut or len(more) > len(fewer))


@pytest.mark.parametrize("room", [1, 2, 3, 6, 7, 20, 40])
@pytest.mark.parametrize(
    "text",
    ["x" * 1_990 + "\n" + "mars" * 40, "x" * 1_950 + "\t" + "planets" * 14 + "\t" + "mars" * 40],
    ids=["one word", "two words"],
)
def test_word_at_the_end_of_the_read_part_is_not_divided(text: str, room: int) -> None:
    """The text has no blank. A part of the word is known; the whole word has more than 100 characters and is not."""
    pairs = PairTokenizer(STARTER / "tokenizer.json", max_tokens=_MAX_TOKENS)
    whole = Tokenizer.from_file(str(STARTER / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    assert _document(pairs, text, room, CutSide.RIGHT) == (whole[:room], len(whole) > room)
    assert _document(pairs, text, room, CutSide.LEFT) == (whole[-room:], len(whole) > room)


def test_long_window_has_the_tokens_of_a_document_of_its_own(tmp_path: Path) -> None:
    """A window without blanks may be longer than a piece."""
    vocabulary = {"?": 0, "a": 1, "b": 2, "ab": 3, "abab": 4, "abababab": 5}
    merges = [("a", "b"), ("ab", "ab"), ("abab", "abab")]
    pairs = _saved(Tokenizer(models.BPE(vocabulary, merges, unk_token="?", fuse_unk=True)), tmp_path / "t.json")
    query, text = pairs.encode_query("q"), "ab" * 16_000
    windows = pairs.encode_windows(query, text, plan_for(_MAX_TOKENS, window_tokens=450))
    alone = pairs.encode_documents(query, [text[start:end] for start, end in windows.spans])
    assert any(end - start > piece_chars(_MAX_TOKENS) for start, end in windows.spans)
    assert [pair.document.tolist() for pair in windows.windows] == [pair.document.tolist() for pair in alone]

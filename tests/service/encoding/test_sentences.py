"""Sentences of texts in many languages: exact positions in code points, no failure on any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_service.encoding.sentences import nearest_spans, sentence_spans


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "Dr. Smith paid 3.5 euros. He left the U.S. at once!",
            ["Dr. Smith paid 3.5 euros.", "He left the U.S. at once!"],
        ),
        ("  First one.   Second one.  ", ["First one.", "Second one."]),
        ('"Really now?" she said. Then she left.', ['"Really now?" she said.', "Then she left."]),
        ("東京は首都です。大阪は首都ではない。", ["東京は首都です。", "大阪は首都ではない。"]),
        ("यह सच है। वह झूठ है।", ["यह सच है।", "वह झूठ है।"]),
        ("ماذا حدث؟ لا شيء جديد.", ["ماذا حدث؟", "لا شيء جديد."]),
        ("😀 Emoji come first. 👍🏽 Then text.", ["😀 Emoji come first.", "👍🏽 Then text."]),
    ],
    ids=["abbreviations", "blanks", "quotes", "japanese", "hindi", "arabic", "emoji"],
)
def test_sentences_of_many_languages(text: str, sentences: list[str]) -> None:
    """The marks that end a sentence are those of all languages. Positions are code points."""
    assert _sentences(text) == sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A title\nThe text begins. It ends.", ["A title", "The text begins.", "It ends."]),
        (
            "title: Heat\nyear: 1995\nplot: Robbers. They rob.",
            ["title: Heat", "year: 1995", "plot: Robbers.", "They rob."],
        ),
        ("This text is wrapped\nat a width. It ends.", ["This text is wrapped\nat a width.", "It ends."]),
        ("one paragraph\n\nand another", ["one paragraph", "and another"]),
        ("one paragraph\n \n\t\nand another", ["one paragraph", "and another"]),
        ("one line\r\n\r\nand another\u2028Third line", ["one line", "and another", "Third line"]),
        ("- first item\n- second item", ["- first item", "- second item"]),
        ("Un titre\nÉcole fermée\nÜber uns", ["Un titre", "École fermée", "Über uns"]),
        ("東京の天気\n大阪の天気", ["東京の天気", "大阪の天気"]),
    ],
    ids=["title", "fields", "wrapped", "paragraphs", "blank lines", "blanks", "items", "accents", "without case"],
)
def test_line_ends_sentence_unless_text_is_wrapped(text: str, sentences: list[str]) -> None:
    """In wrapped text, the next line begins with a lower-case letter."""
    assert _sentences(text) == sentences


_LINE = st.sampled_from(
    ["Wrapped text", "goes on.", "It ends.", "Dr. Who?", "key: a", "12.", "", " ", "\t東京。", "🗼 e\u0301"]
)


@settings(max_examples=50)
@given(st.lists(_LINE, min_size=2, max_size=400))
def test_windows_line_breaks_split_like_unix_ones(lines: list[str]) -> None:
    """So text that was wrapped on Windows has whole sentences. The positions are those of the text that was sent."""
    unix, windows = "\n".join(lines), "\r\n".join(lines)
    assert [sentence.replace("\r\n", "\n") for sentence in _sentences(windows)] == _sentences(unix)


def test_windows_line_break_within_a_sentence_is_kept() -> None:
    """Highlights quote the text as it was sent."""
    assert _sentences("It is wrapped\r\nat a width.\r\nIt ends.") == ["It is wrapped\r\nat a width.", "It ends."]


def test_short_piece_belongs_to_the_next_sentence() -> None:
    """The last one belongs to the sentence before it. A text of short pieces is one sentence."""
    assert _sentences("No. It never rained. Ha!") == ["No. It never rained. Ha!"]
    assert _sentences("1.\nFirst entry\n2.\nSecond entry") == ["1.\nFirst entry", "2.\nSecond entry"]
    assert _sentences("It rained all day.\n***\nIt stopped.") == ["It rained all day.", "***\nIt stopped."]
    assert _sentences("1. 2.") == ["1. 2."]
    assert _sentences("😀") == ["😀"]


@pytest.mark.parametrize("text", ["", " ", "\n\u2028\x85 \u3000"], ids=["empty", "blank", "blanks"])
def test_blank_text_has_no_sentence(text: str) -> None:
    """No pair is scored for it."""
    assert sentence_spans(text) == []


_HARD = "A.!?。\"'()《\n\r\t 1:•\u2028\x00\x85\u3000😀\u0301।؟«…"


_ANY = st.text(alphabet=st.one_of(st.sampled_from(_HARD), st.characters(exclude_categories=["Cs"])))


def _check_spans(text: str) -> None:
    end = 0
    for start, last in sentence_spans(text):
        assert not text[end:start].strip()
        assert text[start:last] == text[start:last].strip() != ""
        end = last
    assert not text[end:].strip()


@given(_ANY)
def test_sentences_hold_all_of_any_text_but_blanks(text: str) -> None:
    """They are in order, do not overlap, and have no blanks around them."""
    _check_spans(text)


@settings(max_examples=30)
@given(_ANY.filter(bool))
def test_sentences_hold_all_of_any_long_text(text: str) -> None:
    """The library reads it in parts."""
    _check_spans(text * (5_000 // len(text)))


def test_text_on_which_the_library_failed() -> None:
    """sentencex 1.0.32 panics on blanks beyond ASCII before an initial."""
    assert _sentences("(\u2028A\u2028. Smith wrote it.") == ["(\u2028A\u2028. Smith wrote it."]
    assert _sentences("one line \n\nhttp://a.b/c?d \rA\u2028.(): \n")[0] == "one line"


@pytest.mark.parametrize(
    ("unit", "count"),
    [
        ("The quick brown fox jumps. ", 37_000),
        ("猫坐在垫子上。", 140_000),
        ("10000. ", 140_000),
        (".", 1),
        ("!\n", 1),
        ("a", 500),
        ("'a' ", 500),
        (" \n", 0),
    ],
    ids=["prose", "chinese", "numbers", "dots", "short lines", "word", "quotes", "blank lines"],
)
def test_long_text_is_split_in_linear_time(unit: str, count: int) -> None:
    """A million characters are the limit of a document. With the square of their number, this would take minutes."""
    spans = sentence_spans(unit * (1_000_000 // len(unit)))
    assert len(spans) == pytest.approx(count, rel=0.05)


def test_very_long_sentence_is_split_at_a_blank() -> None:
    """The library holds the GIL while it reads a part, so no part may be long. The next sentence is found as usual."""
    text = "word " * 1_000 + "ends. Next one."
    *parts, last = _sentences(text)
    assert " ".join(parts) == text.removesuffix(" Next one.")
    assert max(map(len, parts)) <= 2_000
    assert last == "Next one."


@pytest.mark.parametrize(
    "sentences",
    [
        ["The cat sat on the mat, and the dog beside it looked at the birds."],
        ['He said: "No. Not now."', "Then he (and. She) left."],
        ["「猫。犬。」と言った。"],
    ],
    ids=["prose", "quotation", "japanese"],
)
def test_long_text_has_the_sentences_of_a_short_one(sentences: list[str]) -> None:
    """Each is whole, wherever a part of the text ends."""
    text = " ".join(sentences)
    assert _sentences(text) == sentences
    assert _sentences(f"{text} " * 300) == sentences * 300


@pytest.mark.parametrize(
    ("best", "kept"),
    [(None, [0, 1, 2]), ((0, 10), [0, 1, 2]), ((50, 60), [4, 5, 6]), ((95, 100), [7, 8, 9])],
    ids=["one pair", "start", "middle", "end"],
)
def test_sentences_around_the_best_window_are_kept(best: tuple[int, int] | None, kept: list[int]) -> None:
    """Without windows, the first ones are kept."""
    spans = [(10 * at, 10 * at + 9) for at in range(10)]
    assert nearest_spans(spans, best, 3) == [spans[at] for at in kept]
    assert nearest_spans(spans, best, 10) == spans

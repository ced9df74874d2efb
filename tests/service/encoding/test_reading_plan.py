"""Reading plans: the bounds of query and document, and the estimate that admission takes from the same plan.

Covers pair_limits.py, too.
"""

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rerank_service.encoding.pair_limits import PairLimits, min_room
from rerank_service.encoding.reading_plan import default_window_tokens, reading_plan
from rerank_service.encoding.token_rate import TokenRate, TokenRates
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.files import STARTER
from rerank_service.ranking.document import SentDocument
from rerank_service.ranking.request import QueryTooLong, RerankRequest, TooLong
from support.limits import request_limits
from support.reading_plans import plan_for

_WORDS = ("village", "painted", "capital", "evening", "release")
"""Words of seven letters, each one token of the starter model."""
_LIMITS = request_limits(document_tokens=8192)


def _tokenizer(tokens: int, rates: TokenRates | None = None) -> PairTokenizer:
    return PairTokenizer(STARTER / "tokenizer.json", max_tokens=tokens, rates=rates)


class _KnownRate(TokenRate):
    """The exact rate of the texts below. Admission knows only their lengths in characters."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens_per_char = 1 / 8

    def learn(self, chars: int, tokens: int) -> None:
        """Keep the rate."""


def _text(words: int, line: int, seed: int) -> str:
    """Return words in lines of `line` words. Each word with the character after it has eight characters."""
    choose = random.Random(seed).choice
    return "".join(f"{choose(_WORDS)}{' ' if at % line else chr(10)}" for at in range(1, words + 1))


@settings(max_examples=150, deadline=None)
@given(
    query_words=st.integers(1, 700),
    document_words=st.integers(2, 9_000),
    line=st.integers(4, 60),
    tokens=st.sampled_from([128, 512, 2048]),
    options=st.sampled_from(
        [
            {},
            {"too_long": TooLong.CUT},
            {"max_chunks_per_doc": 3},
            {"overlap_tokens": 0},
            {"overlap_tokens": 500},
            {"max_tokens_per_doc": 1000},
            {"max_pair_tokens": 200},
        ]
    ),
)
@example(query_words=1, document_words=7_770, line=35, tokens=128, options={"overlap_tokens": 500})
def test_estimate_is_close_to_the_tokens_that_are_computed(
    query_words: int, document_words: int, line: int, tokens: int, options: dict[str, Any]
) -> None:
    """At least 0.9 and at most 1.3 times as many, for any lengths of query and document."""
    query, document = _text(query_words, line, 1), _text(document_words, line, 2)
    tokenizer = _tokenizer(tokens, TokenRates(_KnownRate()))
    request = RerankRequest(query=query, **options)
    plan = reading_plan(request, _LIMITS, max_tokens=tokens, template=tokenizer.template_tokens)
    estimate = tokenizer.token_estimate(query, plan)(len(document))
    encoded = tokenizer.encode_query(query, limits=plan.pair)
    (pair,) = tokenizer.encode_documents(encoded, [document], max_tokens_per_doc=plan.max_tokens)
    in_windows = plan.windows and pair.truncated and plan.max_tokens > encoded.room
    pairs = tokenizer.encode_windows(encoded, document, plan).windows if in_windows else [pair]
    assert 0.9 <= estimate / sum(map(len, pairs)) <= 1.3


@pytest.mark.parametrize(
    "options", [{}, {"too_long": TooLong.CUT}, {"max_tokens_per_doc": 100}, {"max_pair_tokens": 60}]
)
@pytest.mark.parametrize("query", ["q", "word " * 250, "word " * 9_000], ids=["short", "long", "rejected"])
def test_total_estimate_is_the_sum_of_the_single_ones(query: str, options: dict[str, Any]) -> None:
    """For short and long documents of both rates, with the request's query or one of their own."""
    tokenizer = _tokenizer(512, TokenRates(dense=_KnownRate()))
    plan = reading_plan(RerankRequest(query=query, **options), _LIMITS, max_tokens=512, template=3)
    estimate = tokenizer.token_estimate(query, plan)
    sent = [
        SentDocument("", chars, own, is_dense)
        for chars in (0, 1, 300, 1_900, 2_100, 90_000)
        for own in (None, 1, 4_000)
        for is_dense in (True, False)
    ]
    assert estimate.total(sent) == sum(estimate(each.chars, each.query_chars, is_dense=each.is_dense) for each in sent)
    assert estimate.total([]) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"too_long": TooLong.REFUSE},
        {"too_long": TooLong.WHOLE},
        {"too_long": TooLong.CUT, "query_too_long": QueryTooLong.REFUSE},
        {},
    ],
    ids=str,
)
def test_query_of_blanks_does_not_hide_the_document(options: dict[str, Any]) -> None:
    """Its length seems to be too much, and it has one token. With an estimate of 0, it would pass all limits."""
    tokenizer, query = _tokenizer(512), "village" + 20_000 * " "
    plan = reading_plan(RerankRequest(query=query, **options), _LIMITS, max_tokens=512, template=3)
    estimate, of_short_query = (tokenizer.token_estimate(each, plan) for each in (query, "village"))
    assert estimate(1_000) == of_short_query(1_000, len(query)) > 250
    exact = tokenizer.exact_query_estimate(query, plan)
    assert (estimate.query_fits, of_short_query.query_fits, exact.query_fits) == (False, True, True)
    assert (exact.query_tokens, exact.template) == (1, tokenizer.template_tokens)


@pytest.mark.parametrize("own", [1, 100, 3_000])
def test_estimate_uses_the_own_query_of_a_pair(own: int) -> None:
    """The query of the request is another one, shorter or longer."""
    tokenizer, text, chars = _tokenizer(512), "word " * 300, len("word " * own)
    plan = reading_plan(RerankRequest(query="q"), _LIMITS, max_tokens=512, template=tokenizer.template_tokens)
    expected = tokenizer.token_estimate("word " * own, plan)(len(text))
    for query in ("q", "word " * 9_000):
        assert tokenizer.token_estimate(query, plan)(len(text), chars) == expected


@pytest.mark.parametrize(
    ("query", "limits", "options", "expected"),
    [
        ("q", {}, {}, 8_192),
        ("q", {"window_tokens": 25}, {}, 4 + 1 + 25),
        ("q", {"window_tokens": 25}, {"too_long": TooLong.CUT}, 8_192),
        ("q", {"window_tokens": 25}, {"max_tokens_per_doc": 10}, 4 + 1 + 10),
        ("q" * 800, {"window_tokens": 25}, {}, 4 + 100 + 25),
    ],
)
def test_longest_pair_has_one_window(
    query: str, limits: dict[str, Any], options: dict[str, Any], expected: float
) -> None:
    """With the longest of the queries: that of the request, or a document's own."""
    tokenizer = _tokenizer(8_192, TokenRates(_KnownRate()))
    plan = reading_plan(RerankRequest(query=query, **options), request_limits(**limits), max_tokens=8_192, template=4)
    estimate = tokenizer.token_estimate(query, plan)
    assert estimate.longest_pair() == expected
    own = [SentDocument("", 1, chars) for chars in (None, 8, 1_600, 80)]
    assert estimate.longest_pair(own) == min(expected - max(1, len(query) / 8) + 200, 8_192)


@pytest.mark.parametrize("more", [18, 20, 25, 28, 500])
def test_document_keeps_a_quarter_of_the_window_beside_a_long_query(more: int) -> None:
    """A query of 498 to 980 tokens in a window of 512, which left a document of 330 tokens a few words per window."""
    query = "my router drops the connection every evening and i tried everything " * 40 + "again " * more
    document = "The router restarts when its power supply is too weak for it. " * 25
    tokenizer = _tokenizer(512)
    plan = reading_plan(RerankRequest(query=query), _LIMITS, max_tokens=512, template=tokenizer.template_tokens)
    encoded = tokenizer.encode_query(query, limits=plan.pair)
    windows = tokenizer.encode_windows(encoded, document, plan).windows
    assert (encoded.truncated, encoded.query_tokens, encoded.room) == (True, 512 - 4 - 128, 128)
    assert len(windows) <= 4
    assert sum(map(len, windows)) < 2_000


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, PairLimits(tokens=512, min_room=128, cut_query=True)),
        ({"too_long": TooLong.CUT}, PairLimits(tokens=512, min_room=128, cut_query=True)),
        ({"too_long": TooLong.WHOLE}, PairLimits(tokens=512, min_room=128, cut_query=False)),
        ({"too_long": TooLong.REFUSE}, PairLimits(tokens=512, min_room=1, cut_query=False)),
        (
            {"too_long": TooLong.REFUSE, "query_too_long": QueryTooLong.CUT},
            PairLimits(tokens=512, min_room=128, cut_query=True),
        ),
        ({"query_too_long": QueryTooLong.REFUSE}, PairLimits(tokens=512, min_room=128, cut_query=False)),
        (
            {"too_long": TooLong.CUT, "query_too_long": QueryTooLong.REFUSE},
            PairLimits(tokens=512, min_room=1, cut_query=False),
        ),
        ({"max_pair_tokens": 100}, PairLimits(tokens=100, min_room=25, cut_query=True)),
        ({"max_pair_tokens": 9_999}, PairLimits(tokens=512, min_room=128, cut_query=True)),
        ({"max_query_tokens": 7}, PairLimits(tokens=512, min_room=128, cut_query=True, query_tokens=7)),
    ],
    ids=str,
)
def test_limits_of_a_pair_follow_the_request(options: dict[str, Any], limits: PairLimits) -> None:
    """A query that must not be cut may use the whole window, where long documents are cut or rejected."""
    assert reading_plan(RerankRequest(query="q", **options), _LIMITS, max_tokens=512, template=3).pair == limits


@pytest.mark.parametrize(("tokens", "template", "room"), [(512, 3, 128), (10, 3, 2), (512, 400, 56), (5, 3, 1)])
def test_document_gets_a_quarter_or_half_of_what_the_template_leaves(tokens: int, template: int, room: int) -> None:
    """At least one token."""
    assert min_room(tokens, template) == room


def test_token_estimate_of_a_long_document_is_close() -> None:
    """Within 25 %, for large and small overlaps, with and without a limit of windows, at a learned token rate."""
    pairs = _tokenizer(512)
    text = "".join(f"In {1800 + at} the city was rebuilt, and {at} people came to see it. " for at in range(600))
    query = pairs.encode_query("when was the city rebuilt")
    for overlap in (0, None, 200):
        for most in (None, 3):
            plan = plan_for(512, overlap=overlap, max_windows=most)
            for _ in range(40):
                pairs.encode_documents(query, [text])
            tokens = sum(map(len, pairs.encode_windows(query, text, plan).windows))
            estimate = pairs.token_estimate("when was the city rebuilt", plan)
            assert estimate(len(text)) == pytest.approx(tokens, rel=0.25)
    assert pairs.token_estimate("q", plan_for(512, max_tokens=1000))(10**6) < 2000


@pytest.mark.parametrize(("max_tokens", "window"), [(32, 256), (512, 256), (8192, None)])
def test_default_window_is_a_passage_for_models_with_a_low_token_limit(max_tokens: int, window: int | None) -> None:
    """For other models it is as long as the query allows."""
    assert default_window_tokens(max_tokens) == window

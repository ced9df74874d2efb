"""Long documents through the whole flow, on the small model: its window leaves 28 tokens, its logit is a sum."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from rerank_service.encoding.windows import default_window_tokens
from rerank_service.errors import InferenceFailed, Overloaded, TooLarge
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong, WindowScore
from rerank_service.ranking.results import RankedDocument
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.score_cache import ScoreCache
from support.limits import request_limits
from support.running import DocumentReader, Running, running
from support.small import NAN

_ONES = " ".join(["1"] * 28)
_TWOS = " ".join(["2"] * 28)
_LONG = f"{_ONES} {_TWOS} {_ONES} 1"
"""85 tokens."""


async def _rank(core: Running, *texts: str, **options: Any) -> Ranking:
    request = RerankRequest(**{"query": "0", "overlap_tokens": 0, **options})
    documents = [Document(text) for text in texts]
    return await core.reranker.rerank(request, documents, reader=DocumentReader(), deadline=Deadline.after(60))


async def test_the_best_window_is_the_score(core: Running) -> None:
    """Its span says where it is; a short document has one window, and no span."""
    ranking = await _rank(core, "60", _LONG, "5")
    short, long, last = sorted(ranking, key=lambda one: one.index)
    assert [one.index for one in ranking] == [0, 1, 2]
    assert (long.logit, long.windows, long.truncated) == (56.0, 4, False)
    assert long.best_window is not None
    assert _LONG[slice(*long.best_window)].strip() == _TWOS
    assert (short.windows, short.best_window, last.windows) == (1, None, 1)
    assert ranking.windows == 6
    assert core.idle()


async def test_the_mean_of_the_best_two_windows(core: Running) -> None:
    """Of logits; a document of one window has its own."""
    ranking = await _rank(core, _LONG, "50", window_score=WindowScore.BEST_TWO)
    assert [(one.index, one.logit) for one in ranking] == [(1, 50.0), (0, (56 + 28) / 2)]


async def test_the_mean_of_a_single_window_is_its_logit(core: Running) -> None:
    """A bound may leave one of several."""
    ranking = await _rank(core, _LONG, "50", max_chunks_per_doc=1, window_score=WindowScore.BEST_TWO)
    assert [(one.index, one.logit, one.windows) for one in ranking] == [(1, 50.0, 1), (0, 28.0, 1)]


async def test_of_equal_windows_the_first_is_the_best(small_model: Bundle) -> None:
    """In whatever order they are scored."""
    async with running(small_model, lanes=3) as core:
        (result,) = await _rank(core, " ".join(["1"] * 200))
        assert result.best_window == (0, 2 * 28 - 1)


async def test_usage_counts_every_window(core: Running) -> None:
    """What they share in each: three windows of 28, 28 and 12 tokens of 60, each beside 4 others."""
    usage = (await _rank(core, " ".join(["1"] * 60), overlap_tokens=4)).usage
    assert (usage.pairs, usage.document_tokens, usage.prompt_tokens) == (3, 68, 68 + 3 * 4)


@pytest.mark.parametrize(
    ("options", "logit", "windows", "truncated"),
    [
        ({"max_tokens_per_doc": 28}, 28, 1, True),
        ({"max_tokens_per_doc": 56}, 56, 2, True),
        ({"max_tokens_per_doc": 85}, 56, 4, False),
        ({"max_chunks_per_doc": 1}, 28, 1, True),
        ({"max_chunks_per_doc": 2}, 56, 2, True),
        ({"max_chunks_per_doc": 2, "cut_side": CutSide.LEFT}, 28, 2, True),
        ({"max_tokens_per_doc": 57, "cut_side": CutSide.LEFT}, 56, 3, True),
        ({"too_long": TooLong.CUT}, 28, 1, True),
        ({"too_long": TooLong.WHOLE}, 56, 4, False),
    ],
)
async def test_what_is_scored_of_a_document_is_bounded(
    core: Running, options: dict[str, Any], logit: float, windows: int, truncated: bool
) -> None:
    """By tokens and by windows, on either side; `truncated` says whether there is more."""
    (result,) = await _rank(core, _LONG, **options)
    assert (result.logit, result.windows, result.truncated) == (logit, windows, truncated)


@pytest.mark.parametrize("options", [{"max_tokens_per_doc": 60}, {"max_tokens_per_doc": 9}, {"max_chunks_per_doc": 3}])
async def test_what_is_to_be_read_whole_is_refused_where_it_is_not(core: Running, options: dict[str, Any]) -> None:
    """The error names the document and the bound."""
    bound = "windows" if "max_chunks_per_doc" in options else "tokens"
    with pytest.raises(TooLarge, match=rf"documents\[1\] is too long: .* {bound} are read") as caught:
        await _rank(core, "1", _LONG, too_long=TooLong.WHOLE, **options)
    assert (caught.value.field, caught.value.reason) == ("documents[1]", "document_too_long")
    assert core.idle()


async def test_what_a_server_reads_of_a_document_is_a_setting(small_model: Bundle) -> None:
    """A request may ask for less, and for more; what is cut at the model's length is cut just there."""
    async with running(small_model, limits=request_limits(document_tokens=20)) as core:
        assert [one.logit for one in await _rank(core, _LONG)] == [20]
        assert [one.logit for one in await _rank(core, _LONG, max_tokens_per_doc=99)] == [56]
        assert [one.logit for one in await _rank(core, _LONG, too_long=TooLong.CUT)] == [28]


async def test_how_long_windows_are_is_a_setting(small_model: Bundle) -> None:
    """No longer than the query leaves; a document that fits is scored whole."""
    for tokens, windows in ((14, 7), (28, 4), (500, 4)):
        async with running(small_model, limits=request_limits(window_tokens=tokens)) as core:
            ranking = await _rank(core, _LONG, _ONES)
            assert {one.index: one.windows for one in ranking} == {0: windows, 1: 1}


@pytest.mark.parametrize(("max_tokens", "window"), [(32, 256), (512, 256), (8192, None)])
def test_models_of_few_positions_have_windows_like_passages(max_tokens: int, window: int | None) -> None:
    """Others as much as the query leaves."""
    assert default_window_tokens(max_tokens) == window


async def test_a_request_makes_no_more_windows_than_it_may(small_model: Bundle) -> None:
    """Beyond the first of each document, so that many short ones are nobody's matter."""
    async with running(small_model, limits=request_limits(max_windows=5, part_documents=1)) as core:
        assert len(await _rank(core, *["1"] * 20, _LONG)) == 21
        with pytest.raises(TooLarge, match="more than 5 windows beyond") as caught:
            await _rank(core, _LONG, f"{_LONG} 1")
        assert (caught.value.field, caught.value.reason) == ("documents", "too_many_windows")
        assert core.idle()


async def test_a_copy_of_a_long_document_is_not_scored_again(small_model: Bundle) -> None:
    """Before and after its original is; it has the same best window. One with other blanks stands elsewhere."""
    spread = _LONG.replace(" ", "  ")
    for chunk in (1, 100):
        async with running(small_model, limits=request_limits(part_documents=chunk)) as core:
            ranking = await _rank(core, _LONG, "3", _LONG, spread)
            found = {one.index: one for one in ranking}
            assert [one.index for one in ranking] == [0, 2, 3, 1]
            assert (ranking.usage.pairs, ranking.windows) == (4 + 1 + 4, 13)
            assert found[0].best_window == found[2].best_window != found[3].best_window
            assert found[3].best_window is not None
            assert spread[slice(*found[3].best_window)].split() == _TWOS.split()


async def test_the_score_cache_knows_windows(small_model: Bundle) -> None:
    """A part of a document that was scored as a document of its own, or in another request, is not scored again."""
    async with running(small_model, scores=ScoreCache(1 << 20)) as core:
        await _rank(core, _TWOS)
        first = await _rank(core, _LONG)
        again = await _rank(core, _LONG)
    assert [(one.logit, one.best_window) for one in first] == [(one.logit, one.best_window) for one in again]
    # the first and the third window are alike: one of them runs, or both in one batch
    assert (first.usage.pairs + first.usage.shared_pairs, again.usage.pairs, again.usage.shared_pairs) == (4, 0, 4)
    assert first.usage.shared_pairs >= 1


async def test_a_window_that_fails_names_its_document(core: Running) -> None:
    """And no other."""
    with pytest.raises(InferenceFailed, match=r"documents\[1\]"):
        await _rank(core, "1", f"{_LONG} {NAN}")
    assert core.idle()


async def test_a_stream_is_told_of_a_document_when_all_its_windows_are_scored(core: Running) -> None:
    """Once, with its final score."""
    told: list[tuple[int, float, int]] = []

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document(_LONG), Document("3")]
        yield [Document(_LONG), Document("4")]

    async def tell(results: Iterator[RankedDocument]) -> None:
        told.extend((one.index, one.logit, one.windows) for one in results)

    await core.rank_stream(RerankRequest(query="0", overlap_tokens=0), chunks(), tell)
    assert sorted(told) == [(0, 56.0, 4), (1, 3.0, 1), (2, 56.0, 4), (3, 4.0, 1)]


async def test_the_door_reckons_with_windows(small_model: Bundle) -> None:
    """What is too much in windows is let in when it is cut."""
    async with running(small_model, max_live_tokens=1_000) as core:
        core.score.hold()
        first = asyncio.create_task(_rank(core, "1"))
        await core.score.started()
        with pytest.raises(Overloaded, match="tokens waiting"):
            await _rank(core, *[_LONG * 9] * 5)
        second = asyncio.create_task(_rank(core, *[_LONG * 9] * 5, too_long=TooLong.CUT))
        core.score.release()
        assert len(await first) == 1
        assert len(await second) == 5
        assert core.idle()


def test_a_document_of_which_some_windows_are_scored_is_not_scored() -> None:
    """The best of some is not the best of all: in a partial ranking it is among what is missing."""
    board = Scoreboard(RerankRequest(query="0"), Activation.SIGMOID)
    board.add(Document("short"), truncated=False)
    board.add(Document("long"), truncated=False, spans=[(0, 2), (2, 4)])
    assert board.record(0, 1.0)
    assert not board.record(1, 9.0, 1)
    assert board.missing(2).unscored == [range(1, 2)]
    assert board.order().tolist() == [0]
    assert board.record(1, 3.0, 0)
    assert (board.logit(1), board.order().tolist()) == (9.0, [1, 0])


_SUBJECTS = ("The harbour", "A bakery", "The school", "One of the mills", "The old bridge", "A chapel", "The market")
_DEEDS = ("was widened", "closed its doors", "changed hands", "was painted white", "burned down", "was opened again")
_ANSWER = "The cheetah is the fastest animal on land: it runs at up to 110 kilometres an hour."


def _chronicle(seed: int, sentences: int, answer_at: int | None = None) -> str:
    """So many sentences of 16 tokens on nothing that is asked for, and the answer among them."""
    told = [
        f"{_SUBJECTS[at * seed % 7]} of the village {_DEEDS[(at + seed) % 6]} in the spring of {1400 + at}. "
        for at in range(sentences)
    ]
    if answer_at is not None:
        told.insert(answer_at, f"{_ANSWER} ")
    return "".join(told)


async def test_an_answer_is_found_wherever_it_is_hidden(starter: Bundle) -> None:
    """At the start, in the middle and at the end of 8,000 tokens, on the bundled model, which takes 512. Of what is cut
    at its length only the first holds it."""
    hidden = [_chronicle(2, 60), *(_chronicle(3 + nth, 500, at) for nth, at in enumerate((0, 250, 500)))]
    query = "what is the fastest land animal"
    async with running(starter, lanes=2) as core:
        found = list(await _rank(core, *hidden, query=query, overlap_tokens=None))
        cut = list(await _rank(core, *hidden, query=query, too_long=TooLong.CUT))
    assert {one.index for one in found[:3]} == {1, 2, 3}
    assert cut[0].index == 1
    assert max(one.logit for one in cut[1:]) < min(one.logit for one in found[:3])
    for result in found[:3]:
        assert result.best_window is not None
        assert _ANSWER in hidden[result.index][slice(*result.best_window)]
        assert (result.truncated, result.windows > 30) == (False, True)

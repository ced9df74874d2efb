"""Long documents through the whole flow of a request, on the small model.

Covers windows, preparer, duplicates and scoreboard together. The query leaves 28 tokens for a window.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rerank_service.encoding.template import Template
from rerank_service.errors import InferenceFailed, Overloaded, TooLarge
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong, WindowScore
from rerank_service.ranking.results import RankedDocument
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.score_cache import ScoreCache
from support.limits import request_limits
from support.running import DocumentReader, Running, running
from support.small import NAN, write_small_model

_ONES = " ".join(["1"] * 20)
_TWOS = " ".join(["2"] * 20)
_LONG = f"{_ONES} {_TWOS} {_ONES} {_ONES}"
"""80 tokens: four windows of 20."""


async def _rank(core: Running, *texts: str, **options: Any) -> Ranking:
    request = RerankRequest(**{"query": "0", "overlap_tokens": 0, **options})
    documents = [Document(text) for text in texts]
    return await core.reranker.rerank(request, documents, reader=DocumentReader(), deadline=Deadline.after(60))


async def test_best_window_gives_the_score(core: Running) -> None:
    """The result holds its span. A short document has one window, and no span."""
    ranking = await _rank(core, "60", _LONG, "5")
    short, long, last = sorted(ranking, key=lambda result: result.index)
    assert [result.index for result in ranking] == [0, 1, 2]
    assert (long.logit, long.windows, long.truncated) == (40.0, 4, False)
    assert long.best_window is not None
    assert _LONG[slice(*long.best_window)].strip() == _TWOS
    assert (short.windows, short.best_window, last.windows) == (1, None, 1)
    assert ranking.windows == 6
    assert core.idle()


async def test_best_two_is_the_mean_of_the_two_highest_logits(core: Running) -> None:
    """A document with one window has the logit of that window."""
    ranking = await _rank(core, _LONG, "50", window_score=WindowScore.BEST_TWO)
    assert [(result.index, result.logit) for result in ranking] == [(1, 50.0), (0, (40 + 20) / 2)]


async def test_best_two_of_a_single_window_is_its_logit(core: Running) -> None:
    """`max_chunks_per_doc` leaves one of several windows."""
    ranking = await _rank(core, _LONG, "50", max_chunks_per_doc=1, window_score=WindowScore.BEST_TWO)
    assert [(result.index, result.logit, result.windows) for result in ranking] == [(1, 50.0, 1), (0, 36.0, 1)]


async def test_first_of_equal_windows_is_the_best(small_model: Bundle) -> None:
    """In whatever order they are scored."""
    async with running(small_model, lanes=3) as core:
        (result,) = await _rank(core, " ".join(["1"] * 200))
        assert result.best_window == (0, 2 * 25)


async def test_usage_counts_each_window(core: Running) -> None:
    """Shared tokens count in both windows: three windows of 28, 28 and 12 tokens of 60, each with 4 other tokens."""
    usage = (await _rank(core, " ".join(["1"] * 60), overlap_tokens=4)).usage
    assert (usage.pairs, usage.document_tokens, usage.prompt_tokens) == (3, 68, 68 + 3 * 4)


async def test_usage_of_documents_excludes_the_template(tmp_path: Path) -> None:
    """The text before a document is tokenized together with it, in each window."""
    template = Template(before=("[CLS]", "{query}"), document="0 0 0 0 {document}", after=("[SEP]",))
    async with running(write_small_model(tmp_path / "model", template=template)) as core:
        usage = (await _rank(core, "1", "", " ".join(["2"] * 40))).usage
    assert (usage.pairs, usage.document_tokens) == (4, 1 + 0 + 40)
    assert usage.prompt_tokens == usage.document_tokens + usage.pairs * (4 + 3)


@pytest.mark.parametrize(
    ("options", "logit", "windows", "truncated"),
    [
        ({"max_tokens_per_doc": 28}, 36, 1, True),
        ({"max_tokens_per_doc": 40}, 40, 2, True),
        ({"max_tokens_per_doc": 80}, 40, 4, False),
        ({"max_chunks_per_doc": 1}, 36, 1, True),
        ({"max_chunks_per_doc": 2}, 40, 2, True),
        ({"max_chunks_per_doc": 2, "cut_side": CutSide.LEFT}, 41, 2, True),
        ({"max_tokens_per_doc": 57, "cut_side": CutSide.LEFT}, 36, 3, True),
        ({"too_long": TooLong.CUT}, 36, 1, True),
        ({"too_long": TooLong.WHOLE}, 40, 4, False),
    ],
)
async def test_scored_part_of_a_document_is_limited(
    core: Running, options: dict[str, Any], logit: float, windows: int, truncated: bool
) -> None:
    """By tokens and by windows, on either side. `truncated` is True if the document has more."""
    (result,) = await _rank(core, _LONG, **options)
    assert (result.logit, result.windows, result.truncated) == (logit, windows, truncated)


@pytest.mark.parametrize("options", [{"max_tokens_per_doc": 60}, {"max_tokens_per_doc": 9}, {"max_chunks_per_doc": 2}])
async def test_too_long_whole_rejects_a_document_that_would_be_cut(core: Running, options: dict[str, Any]) -> None:
    """The error names the document and the bound."""
    bound = "windows" if "max_chunks_per_doc" in options else "tokens"
    with pytest.raises(TooLarge, match=rf"documents\[1\] is too long: .* {bound} are read") as caught:
        await _rank(core, "1", _LONG, too_long=TooLong.WHOLE, **options)
    assert (caught.value.field, caught.value.reason) == ("documents[1]", "document_too_long")
    assert core.idle()


async def test_document_tokens_is_the_default_limit(small_model: Bundle) -> None:
    """A request may set less or more. With `too_long=CUT`, the token limit of the model applies."""
    async with running(small_model, limits=request_limits(document_tokens=20)) as core:
        assert [result.logit for result in await _rank(core, _LONG)] == [20]
        assert [result.logit for result in await _rank(core, _LONG, max_tokens_per_doc=99)] == [40]
        assert [result.logit for result in await _rank(core, _LONG, too_long=TooLong.CUT)] == [36]


async def test_window_tokens_limits_windows(small_model: Bundle) -> None:
    """A window is never longer than the query allows. A document that fits is scored whole."""
    for tokens, windows in ((14, 7), (28, 4), (500, 4)):
        async with running(small_model, limits=request_limits(window_tokens=tokens)) as core:
            ranking = await _rank(core, _LONG, _ONES)
            assert {result.index: result.windows for result in ranking} == {0: windows, 1: 1}


async def test_window_tokens_split_documents_of_a_model_for_long_texts(small_model: Bundle) -> None:
    """A document within the token limit is scored in windows, too: a long pass costs more time and memory."""
    long = Bundle(small_model.folder, small_model.manifest.model_copy(update={"max_tokens": 1024}))
    for tokens, windows in ((None, 1), (500, 1), (25, 4)):
        async with running(long, limits=request_limits(window_tokens=tokens)) as core:
            ranking = await _rank(core, _LONG, _ONES)
            assert {result.index: result.windows for result in ranking} == {0: windows, 1: 1}
            assert not any(result.truncated for result in ranking)
            ranking = await _rank(core, _LONG, too_long=TooLong.CUT)
            assert [result.windows for result in ranking] == [1]


async def test_number_of_windows_of_a_request_is_limited(small_model: Bundle) -> None:
    """The first window of each document does not count, so many short documents are allowed."""
    async with running(small_model, limits=request_limits(max_windows=5, part_documents=1)) as core:
        assert len(await _rank(core, *["1"] * 20, _LONG)) == 21
        with pytest.raises(TooLarge, match="more than 5 windows beyond") as caught:
            await _rank(core, _LONG, f"{_LONG} 1")
        assert (caught.value.field, caught.value.reason) == ("documents", "too_many_windows")
        assert core.idle()


async def test_duplicate_of_a_long_document_is_not_scored_again(small_model: Bundle) -> None:
    """It has the best window of its original. A document with other blanks has other positions."""
    spread = _LONG.replace(" ", "  ")
    for chunk in (1, 100):
        async with running(small_model, limits=request_limits(part_documents=chunk)) as core:
            ranking = await _rank(core, _LONG, "3", _LONG, spread)
            results = {result.index: result for result in ranking}
            assert [result.index for result in ranking] == [0, 2, 3, 1]
            assert (ranking.usage.pairs, ranking.windows) == (4 + 1 + 4, 13)
            assert results[0].best_window == results[2].best_window != results[3].best_window
            assert results[3].best_window is not None
            assert spread[slice(*results[3].best_window)].split() == _TWOS.split()


async def test_windows_are_cached(small_model: Bundle) -> None:
    """A window is cached like a document with its text, also for other requests."""
    async with running(small_model, scores=ScoreCache(1 << 20)) as core:
        await _rank(core, _TWOS)
        first = await _rank(core, _LONG)
        again = await _rank(core, _LONG)
    assert [(result.logit, result.best_window) for result in first] == [
        (result.logit, result.best_window) for result in again
    ]
    # the first and the third window are equal: one of them runs, or both in one batch
    assert (first.usage.pairs + first.usage.shared_pairs, again.usage.pairs, again.usage.shared_pairs) == (4, 0, 4)
    assert first.usage.shared_pairs >= 1


async def test_error_of_a_window_names_its_document(core: Running) -> None:
    """The model fails on the last window of the second document."""
    with pytest.raises(InferenceFailed, match=r"documents\[1\]"):
        await _rank(core, "1", f"{_LONG} {NAN}")
    assert core.idle()


async def test_partial_score_of_a_long_document_is_sent_once(core: Running) -> None:
    """It is sent when all windows are scored, with the final score."""
    sent: list[tuple[int, float, int]] = []

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document(_LONG), Document("3")]
        yield [Document(_LONG), Document("4")]

    async def on_scores(results: Iterator[RankedDocument]) -> None:
        sent.extend((result.index, result.logit, result.windows) for result in results)

    await core.rank_stream(RerankRequest(query="0", overlap_tokens=0), chunks(), on_scores)
    assert sorted(sent) == [(0, 40.0, 4), (1, 3.0, 1), (2, 40.0, 4), (3, 4.0, 1)]


async def test_admission_counts_the_tokens_of_all_windows(small_model: Bundle) -> None:
    """The same documents are accepted if they are cut."""
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


class _KnownCost(CostModel):
    """The cost of attention alone, which does not learn: a pass of 32 tokens takes 0.01 s, one of 2,000 takes 49 s."""

    def __init__(self) -> None:
        super().__init__((0.0, 0.0, 12.2))

    def observe(self, rows: int, length: int, seconds: float) -> None:
        """Ignore the batches that run."""


async def test_admission_forecasts_the_speed_of_windows(small_model: Bundle) -> None:
    """No pass is longer than a window, however long the document and the limit of the model are. A stream has the same
    speed."""
    long = Bundle(small_model.folder, small_model.manifest.model_copy(update={"max_tokens": 8192}))
    text = " ".join(["1"] * 4_000)

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document(text)]

    async with running(long, limits=request_limits(window_tokens=25), cost=_KnownCost()) as core:
        core.score.hold()
        first = asyncio.create_task(_rank(core, "1"))
        await core.score.started()
        second = asyncio.create_task(core.rank("0", text, seconds=20))
        third = asyncio.create_task(core.rank_stream(RerankRequest(query="0"), chunks()))
        while core.model.scheduler.waiting < 300:
            assert not second.done()
            await asyncio.sleep(0)
        assert core.admission.backlog_seconds < 10
        core.score.release()
        assert [len(ranking) for ranking in await asyncio.gather(first, second, third)] == [1, 1, 1]


_SUBJECTS = ("The harbour", "A bakery", "The school", "One of the mills", "The old bridge", "A chapel", "The market")
_DEEDS = ("was widened", "closed its doors", "changed hands", "was painted white", "burned down", "was opened again")
_ANSWER = "The cheetah is the fastest animal on land: it runs at up to 110 kilometres an hour."


def _chronicle(seed: int, count: int, answer_at: int | None = None) -> str:
    """Return sentences of 16 tokens that do not answer the query, with the answer among them."""
    sentences = [
        f"{_SUBJECTS[at * seed % 7]} of the village {_DEEDS[(at + seed) % 6]} in the spring of {1400 + at}. "
        for at in range(count)
    ]
    if answer_at is not None:
        sentences.insert(answer_at, f"{_ANSWER} ")
    return "".join(sentences)


async def test_answer_is_found_anywhere_in_a_long_document(starter: Bundle) -> None:
    """At the start, in the middle and at the end of 4,000 tokens, on the starter model with its limit of 512 tokens. If
    documents are cut, only the first one keeps the answer."""
    hidden = [_chronicle(2, 60), *(_chronicle(3 + nth, 250, at) for nth, at in enumerate((0, 125, 250)))]
    query = "what is the fastest land animal"
    async with running(starter, lanes=2) as core:
        windowed = list(await _rank(core, *hidden, query=query, overlap_tokens=None))
        cut = list(await _rank(core, *hidden, query=query, too_long=TooLong.CUT))
    assert {result.index for result in windowed[:3]} == {1, 2, 3}
    assert cut[0].index == 1
    assert max(result.logit for result in cut[1:]) < min(result.logit for result in windowed[:3])
    for result in windowed[:3]:
        assert result.best_window is not None
        assert _ANSWER in hidden[result.index][slice(*result.best_window)]
        assert (result.truncated, result.windows > 15) == (False, True)

"""Highlights in the flow of a request: which sentences, with which scores, at which cost, within which limits.

The logit of the small model is the sum of the numbers in a text. Each line is a sentence.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.errors import DeadlinePassed, InferenceFailed, Overloaded, RateLimited, TooLarge
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document, SentDocument
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong
from rerank_service.ranking.results import RankedDocument, Work
from rerank_service.ranking.scores import ScoreType
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.quota import KeyLimits, Quota
from rerank_service.scheduling.score_cache import ScoreCache
from support.limits import request_limits
from support.running import DocumentReader, Running, running
from support.small import NAN, logit

_TEXTS = ("10 11\n40 41\n20 21", "30 31\n10 11", "99 99")


async def _rank(
    core: Running, *texts: str | Document, seconds: float = 60.0, caller: Caller | None = None, **fields: Any
) -> Ranking:
    request = RerankRequest(query="0", **{"highlights": 2, **fields})
    documents = [Document(text, original=text) if isinstance(text, str) else text for text in texts]
    options: dict[str, Any] = {"caller": caller} if caller else {}
    return await core.reranker.rerank(
        request, documents, reader=DocumentReader(), deadline=Deadline.after(seconds), **options
    )


async def _chunks(*texts: str) -> AsyncIterator[Sequence[Document]]:
    for text in texts:
        yield [Document(text)]


def _sentences(ranking: Ranking, *texts: str) -> list[list[str]]:
    """Return the highlights of each result as texts."""
    return [[texts[result.index][slice(*each.span)] for each in result.highlights] for result in ranking]


async def test_best_sentences_of_each_result_are_marked_best_first(core: Running) -> None:
    """A document with fewer sentences has all of them marked."""
    ranking = await _rank(core, *_TEXTS)
    assert [result.index for result in ranking] == [2, 0, 1]
    assert _sentences(ranking, *_TEXTS) == [["99 99"], ["40 41", "20 21"], ["30 31", "10 11"]]
    assert core.idle()


async def test_request_without_highlights_has_none(core: Running) -> None:
    """0 stands for none."""
    for count in (None, 0):
        ranking = await _rank(core, *_TEXTS, highlights=count)
        assert _sentences(ranking, *_TEXTS) == [[], [], []]
        assert ranking.usage.pairs == 3


@pytest.mark.parametrize("score_type", [ScoreType.RAW, ScoreType.SIGMOID])
async def test_sentence_has_the_score_of_the_same_text_sent_alone(core: Running, score_type: ScoreType) -> None:
    """Logit and relevance score are equal."""
    text = "1 1 0 0\n2 0 0 0\n0 0 0 3\n2 1 0 0"
    (result,) = await _rank(core, text, highlights=9, score_type=score_type)
    assert len(result.highlights) == 4
    for each in result.highlights:
        (alone,) = await _rank(core, text[slice(*each.span)], highlights=None, score_type=score_type)
        assert (each.logit, each.relevance_score) == (alone.logit, alone.relevance_score)


async def test_equal_scores_keep_the_order_of_the_text(core: Running) -> None:
    """The first sentence is the first highlight."""
    (result,) = await _rank(core, "1 1 0 0\n0 0 2 0\n2 0 0 0", highlights=2)
    assert [each.span for each in result.highlights] == [(0, 7), (8, 15)]


async def test_positions_are_code_points(core: Running) -> None:
    """Characters beyond the basic plane count once."""
    text = "😀 😀 1 0 0 0\n😀 50 0 0 0"
    (result,) = await _rank(core, text, highlights=1)
    assert text[slice(*result.highlights[0].span)] == "😀 50 0 0 0"


async def test_only_results_are_scored(core: Running) -> None:
    """`top_n` and `min_score` choose the results. Their sentences count in the usage."""
    ranking = await _rank(core, *_TEXTS, top_n=2)
    assert (len(ranking), ranking.usage.pairs) == (2, 3 + 3)  # the only sentence of the best document is known
    assert ranking.usage.document_tokens == 12 + 6
    assert sum(map(len, core.score.batches)) == 6
    ranking = await _rank(core, *_TEXTS, min_score=100, score_type=ScoreType.RAW)
    assert [(result.index, len(result.highlights)) for result in ranking] == [(2, 1), (0, 2)]
    ranking = await _rank(core, *_TEXTS, min_score=1000, score_type=ScoreType.RAW)
    assert (len(ranking), ranking.usage.pairs) == (0, 3)


async def test_equal_sentences_are_scored_once(core: Running) -> None:
    """Within a document, and in several documents; also duplicates of documents."""
    texts = ["10 11\n20 21\n10 11", "30 31\n20 21", "30 31\n20 21"]
    ranking = await _rank(core, *texts)
    assert _sentences(ranking, *texts) == [["30 31", "20 21"], ["30 31", "20 21"], ["20 21", "10 11"]]
    assert ranking.usage.pairs == 2 + 3


async def test_equal_sentences_of_later_parts_are_scored_once(core: Running) -> None:
    """The sentences of 16 documents are tokenized in one step."""
    texts = [f"10 11\n20 21\n{number} 0 0 0" for number in range(40)]
    ranking = await _rank(core, *texts, highlights=3)
    assert all(len(result.highlights) == 3 for result in ranking)
    assert ranking.usage.pairs == 40 + 42


async def test_documents_are_returned_only_if_requested(core: Running) -> None:
    """Highlights keep the texts, and do not return them."""
    assert [result.document for result in await _rank(core, *_TEXTS)] == [None] * 3
    assert [result.document for result in await _rank(core, *_TEXTS, return_documents=True, top_n=1)] == ["99 99"]


async def test_empty_document_has_no_highlights(core: Running) -> None:
    """A document of blanks, too."""
    assert not any(result.highlights for result in await _rank(core, "", " \n "))


async def test_document_with_a_query_of_its_own(core: Running) -> None:
    """The logit does not depend on the query, but the number of tokens does."""
    ranking = await _rank(core, Document("10 11\n20 21", query="1 2 3"))
    assert [each.logit for result in ranking for each in result.highlights] == [41.0, 21.0]
    assert ranking.usage.prompt_tokens == (6 + 4) + 2 * (6 + 2)


async def test_long_sentence_is_split_like_a_long_document(core: Running) -> None:
    """The query leaves 28 tokens. The parts have no overlap, and the score of the same text sent alone."""
    text = " ".join(map(str, range(60)))
    (result,) = await _rank(core, text, highlights=9)
    spans = sorted(each.span for each in result.highlights)
    assert len(spans) == 3
    assert [number for span in spans for number in text[slice(*span)].split()] == text.split()
    for each in result.highlights:
        assert each.logit == logit(text[slice(*each.span)])


async def test_sentences_of_a_document_in_windows(core: Running) -> None:
    """All windows are read, and each sentence is a highlight once, although windows overlap."""
    lines = [f"{number} 0 0 0" for number in range(20)]
    (result,) = await _rank(core, "\n".join(lines), highlights=99)
    assert result.windows > 1
    assert [each.logit for each in result.highlights] == list(range(19, -1, -1))


@pytest.mark.parametrize(
    ("fields", "logits"),
    [
        ({"too_long": TooLong.CUT}, [6, 5, 4, 3, 2, 1, 0]),
        ({"too_long": TooLong.CUT, "cut_side": CutSide.LEFT}, [19, 18, 17, 16, 15, 14, 13]),
        ({"max_tokens_per_doc": 8}, [1, 0]),
        ({"max_tokens_per_doc": 8, "cut_side": CutSide.LEFT}, [19, 18]),
        ({"max_tokens_per_doc": 40}, list(range(9, -1, -1))),
        ({"max_chunks_per_doc": 1}, None),
    ],
    ids=["cut", "cut left", "one pair", "one pair left", "windows", "one window"],
)
async def test_text_that_was_not_scored_has_no_highlights(
    core: Running, fields: dict[str, Any], logits: list[float] | None
) -> None:
    """Each sentence has four tokens, and the query leaves 28."""
    text = "\n".join(f"{number} 0 0 0" for number in range(20))
    (result,) = await _rank(core, text, highlights=99, **fields)
    assert result.truncated
    if logits is None:
        assert max(each.span[1] for each in result.highlights) < len(text) / 2
    else:
        assert [each.logit for each in result.highlights] == logits


async def test_document_with_many_sentences_has_those_around_its_best_window(core: Running) -> None:
    """At most 100 sentences are scored."""
    lines = ["1 0 0 0"] * 150 + ["60 0 0 0"] + ["2 0 0 0"] * 50
    text = "\n".join(lines)
    ranking = await _rank(core, text, highlights=999)
    (result,) = ranking
    assert len(result.highlights) == 100
    assert result.highlights[0].logit == 60
    assert ranking.usage.pairs == result.windows + 3


async def test_parts_of_long_sentences_count_as_sentences(core: Running) -> None:
    """Of a text without an end of a sentence, the parts around the best window are scored."""
    numbers = ["1"] * 3000
    numbers[2800] = "60"
    text = " ".join(numbers)
    (result,) = await _rank(core, text, highlights=999)
    assert len(result.highlights) == 100
    assert text[slice(*result.highlights[0].span)].count("60") == 1


@pytest.mark.parametrize(
    ("documents", "top_n", "words"),
    [(101, None, "this request has 101 results"), (101, 101, "101 results"), (500, 101, "101 results")],
)
async def test_highlights_in_too_many_results_are_rejected(
    core: Running, documents: int, top_n: int | None, words: str
) -> None:
    """The error comes before any work, and says what to do."""
    with pytest.raises(TooLarge, match=f"{words}: set top_n to at most 100") as raised:
        await _rank(core, *["1"] * documents, top_n=top_n)
    assert (raised.value.field, raised.value.reason) == ("top_n", "too_many_highlights")
    assert not core.score.batches


async def test_highlights_of_many_documents_need_a_low_top_n(core: Running) -> None:
    """1,000 documents with `top_n` 100 are accepted; the limit is a setting."""
    texts = [f"{number % 99} 0 0 0\n{number // 99} 0 0 0" for number in range(1000)]
    ranking = await _rank(core, *texts, top_n=100, highlights=1)
    assert all(len(result.highlights) == 1 for result in ranking)
    with pytest.raises(TooLarge):
        await core.rank_stream(RerankRequest(query="0", highlights=1), _chunks("1"))


async def test_limit_of_highlighted_results_is_a_setting(small_model: Bundle) -> None:
    """`--max-highlighted-results`."""
    async with running(small_model, limits=request_limits(max_highlighted_results=1)) as core:
        assert len(await _rank(core, "1", "2", top_n=1)) == 1
        with pytest.raises(TooLarge, match="at most 1 result"):
            await _rank(core, "1", "2")


async def test_stream_has_highlights(core: Running) -> None:
    """The documents that are scored before the ranking have none yet."""
    seen: list[RankedDocument] = []

    async def on_scores(scored: Any) -> None:
        seen.extend(scored)

    request = RerankRequest(query="0", highlights=1, top_n=2)
    ranking = await core.rank_stream(request, _chunks(*_TEXTS), on_scores)
    assert _sentences(ranking, *_TEXTS) == [["99 99"], ["40 41"]]
    assert len(seen) == 3
    assert not any(result.highlights for result in seen)
    assert core.idle()


async def test_stream_keeps_the_texts_of_its_results_only(small_model: Bundle) -> None:
    """A text that cannot be in the ranking is dropped. More texts than the limit are an error."""
    async with running(small_model, limits=request_limits(max_kept_bytes=60)) as core:
        request = RerankRequest(query="0", highlights=1, top_n=2)
        release = asyncio.Event()

        async def slow() -> AsyncIterator[Sequence[Document]]:
            for number in range(20):
                yield [Document(f"{number} 1 1 1 1 1 1")]
                while core.model.scheduler.waiting or len(core.score.batches) <= number:
                    await asyncio.sleep(0)
            release.set()

        assert [result.index for result in await core.rank_stream(request, slow())] == [19, 18]
        assert release.is_set()
        with pytest.raises(TooLarge, match="highlights would keep more than 60 bytes"):
            await core.rank_stream(request, _chunks("1 " * 40))


async def _stream_until_sentences(core: Running, cutoff: Cutoff | None) -> asyncio.Task[Ranking]:
    """Start a stream of two documents, and hold the model when the first batch of sentences runs."""
    scored = asyncio.Event()

    async def on_scores(_: Any) -> None:
        core.score.hold()
        scored.set()

    request = RerankRequest(query="0", highlights=1, top_n=2)

    async def chunk() -> AsyncIterator[Sequence[Document]]:
        yield [Document("99 99"), Document("10 11\n20 21")]

    stream = asyncio.create_task(core.rank_stream(request, chunk(), on_scores, cutoff=cutoff))
    await scored.wait()
    for _ in range(2):
        await core.score.started()
    return stream


async def test_stream_that_runs_out_of_time_has_a_ranking_without_highlights(core: Running) -> None:
    """The ranking is complete. Documents whose sentences are all scored keep their highlights."""
    cutoff = Cutoff(Deadline.after(1000))
    stream = await _stream_until_sentences(core, cutoff)
    cutoff.trigger()
    ranking = await stream
    assert ranking.missing is None
    assert [(result.index, len(result.highlights)) for result in ranking] == [(0, 1), (1, 0)]
    core.score.release()


async def test_cancelled_request_takes_its_sentences_out_of_the_queue(core: Running) -> None:
    """Nothing of it is left behind."""
    stream = await _stream_until_sentences(core, None)
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    assert core.idle()
    core.score.release()


async def test_deadline_holds_for_sentences(core: Running) -> None:
    """The request ends with an error; its work is reported without a forecast."""
    work: list[Work] = []
    score = core.score._score

    def then_hold(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        core.score.hold()
        return score(batch, token)

    core.score._score = then_hold
    with pytest.raises(DeadlinePassed):
        await core.reranker.rerank(
            RerankRequest(query="0", highlights=1),
            [Document("10 11\n20 21")],
            reader=DocumentReader(),
            deadline=Deadline.after(1),
            on_work=work.append,
        )
    assert [(each.usage.pairs, each.forecast) for each in work] == [(1, None)]
    assert len(core.score.batches) == 2
    assert not core.admission.live_requests
    core.score.release()


async def test_admission_counts_the_sentences(small_model: Bundle) -> None:
    """Beside a live request, the documents alone fit the limit of live tokens; with their sentences, they do not."""
    text, request = "1 1 1 1\n" * 20, RerankRequest(query="0", highlights=1)
    async with running(small_model, max_live_tokens=1_000) as core:
        estimate = core.model.tokenizer.token_estimate("0", core.reranker._plan(request, core.model))
        documents = 3 * estimate(len(text))
        sentences = estimate.highlights(request, [SentDocument(text, len(text))] * 3)
        core.admission.set_limits(100, documents + sentences - 1)
        core.score.hold()
        first = asyncio.create_task(_rank(core, "1"))
        await core.score.started()
        with pytest.raises(Overloaded, match="tokens waiting"):
            await _rank(core, text, text, text)
        second = asyncio.create_task(_rank(core, text, text, text, highlights=0))
        while core.admission.live_requests < 2:
            await asyncio.sleep(0)
        core.score.release()
        assert len(await first) + len(await second) == 4


def _caller(tokens: int) -> Caller:
    return Caller("a", quota=Quota(KeyLimits(tokens_per_minute=tokens), clock=lambda: 0.0))


async def test_key_pays_for_sentences(core: Running) -> None:
    """The tokens of the pairs that ran are charged, for a unary request and a stream."""
    unary = _caller(1000)
    ranking = await _rank(core, *_TEXTS, caller=unary)
    used = ranking.usage.prompt_tokens
    assert used == (3 * 4 + 12) + (4 * 4 + 8)
    stream, request = _caller(1000), RerankRequest(query="0", highlights=2, top_n=3)

    async def deliver(ranking: Ranking) -> None:
        assert ranking.usage.prompt_tokens == used

    await core.reranker.rerank_stream(
        request,
        _chunks(*_TEXTS),
        reader=DocumentReader(),
        deadline=Deadline.after(60),
        deliver=deliver,
        caller=stream,
    )
    for caller in (unary, stream):
        with pytest.raises(RateLimited), caller.quota.charge(1001 - used):
            pass
        with caller.quota.charge(1000 - used):
            pass


async def test_key_without_enough_tokens_for_the_sentences_is_rejected(core: Running) -> None:
    """The documents alone would be accepted."""
    text, request = "1 1 1 1\n" * 20, RerankRequest(query="0", highlights=1)
    estimate = core.model.tokenizer.token_estimate("0", core.reranker._plan(request, core.model))
    tokens = int(10 * estimate(len(text)) + estimate.highlights(request, [SentDocument(text, len(text))] * 10))
    with pytest.raises(TooLarge, match="the API key may use"):
        await _rank(core, *[text] * 10, caller=_caller(tokens - 1))
    assert len(await _rank(core, *[text] * 10, highlights=0, caller=_caller(tokens - 1))) == 10


async def test_cached_sentences_cost_nothing(small_model: Bundle) -> None:
    """The second request finds all pairs in the score cache. A document that equals a sentence does, too."""
    async with running(small_model, scores=ScoreCache(1_000_000)) as core:
        first = await _rank(core, *_TEXTS)
        second = await _rank(core, *_TEXTS)
        assert (first.usage.pairs, first.usage.shared_pairs) == (3 + 4, 0)
        assert (second.usage.pairs, second.usage.shared_pairs) == (0, 7)
        assert _sentences(first, *_TEXTS) == _sentences(second, *_TEXTS)
        alone = await _rank(core, "40 41", highlights=None)
        assert alone.usage.pairs == 0


async def test_sentences_in_flight_are_shared_by_requests(small_model: Bundle) -> None:
    """Two equal requests run each pair once."""
    async with running(small_model, scores=ScoreCache(1_000_000)) as core:
        both = await asyncio.gather(_rank(core, *_TEXTS), _rank(core, *_TEXTS))
        assert sum(map(len, core.score.batches)) == 7
        assert sum(each.usage.pairs for each in both) == 7


async def test_model_that_fails_on_a_sentence_names_the_document(core: Running) -> None:
    """The other requests go on."""
    good = asyncio.create_task(_rank(core, *_TEXTS))
    with pytest.raises(InferenceFailed, match=r"documents\[0\]"):
        await _rank(core, f"1 1 1 1\n{NAN} 1 1 1")
    assert len(await good) == 3
    assert core.idle()


async def test_ticket_has_the_tokens_of_the_sentences(core: Running) -> None:
    """First the estimate; when the sentences are known, their padded tokens."""
    backlogs: list[float] = []
    score = core.score._score

    def observed(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        backlogs.append(core.admission.backlog_seconds)
        return score(batch, token)

    core.score._score = observed
    request, text = RerankRequest(query="0", highlights=1), "10 11\n20 21"
    estimate = core.model.tokenizer.token_estimate("0", core.reranker._plan(request, core.model))
    sentences = estimate.highlights(request, [SentDocument(text, len(text))])
    await _rank(core, text)
    padded = core.model.scheduler.limits.padded
    assert backlogs[0] / backlogs[1] == pytest.approx((padded(8) + sentences) / (2 * padded(6)))
    assert core.admission.backlog_seconds == 0

"""The flow of a request on the small model: right, bounded, cancelled, expired, refused, and nothing left behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank_service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    TooLarge,
    UnknownModel,
)
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document, SentDocument
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong
from rerank_service.ranking.results import RankedDocument
from rerank_service.scheduling.deadline import Deadline
from support.limits import request_limits
from support.running import DocumentReader, Running, running
from support.small import BOOM, NAN, logit


async def test_documents_come_back_in_order_of_their_logit(core: Running) -> None:
    """The small model's logit is the sum of the document's numbers."""
    ranking = await core.rank("0", "1", "5 5", "3", "")
    assert [(result.index, result.logit) for result in ranking] == [(1, 10), (2, 3), (0, 1), (3, 0)]
    assert core.idle()


async def test_usage_counts_the_tokens(core: Running) -> None:
    """Three special tokens and the query's two with each of two documents of 1 and 3 tokens; rows padded to 8."""
    usage = (await core.rank("0 0", "1", "1 2 3")).usage
    assert (usage.query_tokens, usage.document_tokens, usage.prompt_tokens) == (2, 4, 14)
    assert (usage.pairs, usage.padded_tokens) == (2, 16)


async def test_the_same_document_is_scored_once(small_model: Bundle) -> None:
    """Within a chunk, across chunks, before and after its original is scored; each copy is a result of its own."""
    texts = ["5", "3", "5", "1 2", "5", "3", "4", "5"]
    for chunk in (1, 3, 100):
        async with running(small_model, limits=request_limits(part_documents=chunk)) as core:
            ranking = await core.rank("0", *texts)
            assert [one.index for one in ranking] == sorted(range(8), key=lambda at: -logit(texts[at]))
            assert [one.logit for one in ranking] == sorted(map(logit, texts), reverse=True)
            assert (ranking.usage.pairs, ranking.documents) == (4, 8)
            assert sum(map(len, core.score.batches)) == 4


async def test_a_copy_that_comes_after_its_score_is_told_too(core: Running) -> None:
    """Over a stream, whose later chunk repeats what is settled."""
    told: asyncio.Queue[int] = asyncio.Queue()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document("5")]
        assert await told.get() == 0
        yield [Document("5"), Document("5")]

    async def tell(results: Iterator[RankedDocument]) -> None:
        for result in results:
            told.put_nowait(result.index)

    ranking = await core.rank_stream(RerankRequest(query="0"), chunks(), tell)
    assert [one.logit for one in ranking] == [5.0, 5.0, 5.0]
    assert {await told.get(), await told.get()} == {1, 2}


async def test_a_long_document_is_cut_on_the_side_asked_for_or_refused(core: Running) -> None:
    """The window leaves 28 tokens; the error names the document and the bound."""
    texts = [Document("1"), Document(" ".join(["1"] * 20 + ["2"] * 20))]

    async def rank(**options: Any) -> list[float]:
        request = RerankRequest(query="0", **options)
        ranking = await core.reranker.rerank(request, texts, reader=DocumentReader(), deadline=Deadline.after(60))
        return [one.logit for one in ranking]

    assert await rank(too_long=TooLong.CUT) == [20 + 2 * 8, 1]
    assert await rank(too_long=TooLong.CUT, cut_side=CutSide.LEFT) == [8 + 2 * 20, 1]
    with pytest.raises(TooLarge, match=r"documents\[1\] is too long: at most 28 tokens") as caught:
        await rank(too_long=TooLong.REFUSE)
    assert (caught.value.field, caught.value.reason) == ("documents[1]", "document_too_long")
    assert core.idle()


async def test_documents_are_read_off_the_event_loop(core: Running) -> None:
    """A part at a time, so that ten thousand objects stop nobody."""
    parts: list[list[str]] = []

    class Slow(DocumentReader):
        def read(self, sent: SentDocument, field: str) -> Document:
            assert threading.current_thread() is not threading.main_thread()
            parts[-1].append(field)
            return super().read(sent, field)

        def chars(self, raw: Document) -> int:
            return 400_000

    tokenize = core.model.tokenizer.encode_documents
    core.model.tokenizer.encode_documents = lambda *args, **options: (  # type: ignore[method-assign]
        parts.append([]) or tokenize(*args, **options)  # type: ignore[func-returns-value]
    )
    parts.append([])
    documents = [Document(str(number)) for number in range(5)]
    await core.reranker.rerank(RerankRequest(query="0"), documents, reader=Slow(), deadline=Deadline.after(60))
    assert [len(part) for part in parts] == [2, 2, 1, 0]
    assert parts[2] == ["documents[4]"]


async def test_timing_adds_up(core: Running) -> None:
    """No part is negative, and queue and inference fit in the whole."""
    timing = (await core.rank("0", "1", "2")).timing
    assert min(timing.queue, timing.tokenize, timing.inference) >= 0
    assert timing.queue + timing.inference <= timing.total


async def test_a_nan_fails_its_own_request_only(core: Running) -> None:
    """The index is named, the neighbour in the batch is answered, and the next request works."""
    core.score.hold()
    first = asyncio.create_task(core.rank("0", "9"))
    await core.score.started()
    bad, good = asyncio.create_task(core.rank("0", "1", NAN)), asyncio.create_task(core.rank("0", "2", "3"))
    while core.model.scheduler.waiting < 4:
        await asyncio.sleep(0)
    core.score.release()
    with pytest.raises(InferenceFailed, match=r"nan for documents\[1\]"):
        await bad
    assert [result.index for result in await good] == [1, 0]
    assert len(await first) == 1
    assert core.idle()


async def test_an_error_of_the_runtime_fails_its_own_request_only(core: Running) -> None:
    """onnxruntime refuses the whole batch; the halves tell whose document it was."""
    bad, good = asyncio.create_task(core.rank("0", "1", BOOM)), asyncio.create_task(core.rank("0", "2", "3"))
    with pytest.raises(InferenceFailed, match=r"documents\[1\]"):
        await bad
    assert [result.index for result in await good] == [1, 0]
    assert core.idle()


async def test_a_cancelled_request_leaves_nothing(core: Running) -> None:
    """Neither room, nor pairs, nor tasks."""
    before = asyncio.all_tasks()
    core.score.hold()
    task = asyncio.create_task(core.rank("0", *map(str, range(90))))
    await core.score.started()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert core.idle()
    assert asyncio.all_tasks() == before


async def test_an_expired_request_leaves_nothing(core: Running) -> None:
    """Its pairs do not run after its deadline; the next request does."""
    core.score.hold()
    first = asyncio.create_task(core.rank("0", "9"))
    await core.score.started()
    with pytest.raises(DeadlineExceeded):
        await core.rank("0", "1", "2", "3", seconds=0.01)
    assert core.model.scheduler.waiting == 0
    core.score.release()
    await first
    assert len(await core.rank("0", "4")) == 1
    assert core.idle()


async def test_what_is_too_much_is_refused(small_model: Bundle) -> None:
    """Documents, characters of the query, characters of a document: each names its field."""
    limits = request_limits(max_documents=2, max_query_chars=5, max_document_chars=4)
    async with running(small_model, limits=limits) as core:
        for query, texts, field in (
            ("0", ("1", "2", "3"), "documents"),
            ("0 0 0 0", ("1",), "query"),
            ("0", ("1", "1 1 1"), r"documents\[1\]"),
        ):
            with pytest.raises(TooLarge, match=field):
                await core.rank(query, *texts)
        with pytest.raises(InvalidRequest, match="documents must not be empty"):
            await core.rank("0")
        assert core.idle()


async def test_a_full_server_refuses_and_says_when_to_return(small_model: Bundle) -> None:
    """A request is let in whatever its size when nothing else is there."""
    async with running(small_model, max_live_documents=2) as core:
        core.score.hold()
        large = asyncio.create_task(core.rank("0", "1", "2", "3"))
        await core.score.started()
        with pytest.raises(Overloaded) as caught:
            await core.rank("0", "1")
        assert caught.value.retry_after > 0
        core.score.release()
        assert len(await large) == 3
        assert len(await core.rank("0", "1")) == 1


async def test_a_draining_server_answers_who_is_in_and_refuses_who_comes(core: Running) -> None:
    """`drained` waits for the last answer."""
    core.score.hold()
    inside = asyncio.create_task(core.rank("0", "1"))
    await core.score.started()
    core.admission.close()
    drained = asyncio.create_task(core.admission.drained())
    with pytest.raises(NotReady):
        await core.rank("0", "1")
    assert not drained.done()
    core.score.release()
    assert len(await inside) == 1
    await drained


async def _rank_with(core: Running, model: str) -> Ranking:
    request = RerankRequest(query="0", model=model)
    return await core.reranker.rerank(request, [Document("1")], reader=DocumentReader(), deadline=Deadline.after(60))


async def test_an_unknown_model_is_refused_with_the_names_served(core: Running) -> None:
    """Empty and `default` mean the model served."""
    for name in ("", "default", "small"):
        assert (await _rank_with(core, name)).model == "small"
    with pytest.raises(UnknownModel, match="'other' is not served here; served: small"):
        await _rank_with(core, "other")


async def _chunks(texts: Sequence[str], size: int) -> AsyncIterator[Sequence[Document]]:
    for at in range(0, len(texts), size):
        yield [Document(text, original=text, id=text) for text in texts[at : at + size]]


NUMBERS = st.lists(st.integers(0, 99).map(str), min_size=1, max_size=60)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=NUMBERS, size=st.integers(1, 20), window=st.integers(1, 8), top_n=st.none() | st.integers(1, 70))
def test_a_stream_ranks_as_a_unary_request_does(
    small_model: Bundle, texts: list[str], size: int, window: int, top_n: int | None
) -> None:
    """In whatever chunks the documents come, and however little room there is; partial scores are each told once."""
    told: list[int] = []

    async def tell(results: object) -> None:
        told.extend(result.index for result in results)  # type: ignore[attr-defined]

    async def both() -> tuple[list[RankedDocument], list[RankedDocument]]:
        request = RerankRequest(query="0", top_n=top_n, return_documents=True)
        async with running(small_model, limits=request_limits(room=window, part_documents=3)) as core:
            ranking = await core.rank_stream(request, _chunks(texts, size), tell)
            documents = [Document(text, original=text, id=text) for text in texts]
            unary = await core.reranker.rerank(request, documents, reader=DocumentReader(), deadline=Deadline.after(60))
            assert core.idle()
            return list(ranking), list(unary)

    streamed, unary = asyncio.run(both())
    assert streamed == unary
    assert [one.logit for one in streamed] == sorted((logit(text) for text in texts), reverse=True)[:top_n]
    assert sorted(told) == list(range(len(texts)))


async def test_a_stream_is_read_on_only_when_there_is_room(small_model: Bundle) -> None:
    """With nothing scored, no more chunks are asked for than fill the window."""
    asked = 0

    async def endless() -> AsyncIterator[Sequence[Document]]:
        nonlocal asked
        while True:
            asked += 1
            yield [Document(f"{asked} {number}") for number in range(10)]

    async with running(small_model, limits=request_limits(room=30, part_documents=10)) as core:
        core.score.hold()
        stream = core.rank_stream(RerankRequest(query="0"), endless())
        task = asyncio.create_task(stream)
        await core.score.started()
        while len(core.score.batches[0]) + core.model.scheduler.waiting < 30:
            await asyncio.sleep(0)
        for _ in range(100):  # turns of the event loop, in which a reader without bounds would read on
            await asyncio.sleep(0)
        asked_when_full = asked
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert asked_when_full == 4  # three fill the window, the fourth waits at its door
        assert core.idle()


async def test_a_stream_over_its_limit_is_refused(small_model: Bundle) -> None:
    """The limit is the stream's own, beyond that of a unary request."""
    limits = request_limits(max_documents=2, max_stream_documents=5)
    async with running(small_model, limits=limits) as core:
        request = RerankRequest(query="0")
        five = await core.rank_stream(request, _chunks(["1"] * 5, 2))
        assert len(five) == 5
        with pytest.raises(TooLarge, match="documents"):
            await core.rank_stream(request, _chunks(["1"] * 6, 2))
        with pytest.raises(InvalidRequest, match="must not be empty"):
            await core.rank_stream(request, _chunks([], 2))
        assert core.idle()

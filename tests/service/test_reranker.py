"""The flow of a request on the small model: results, limits, cancellation, deadlines, and nothing left behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank_service.api.http.documents import JsonReader
from rerank_service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    TooLarge,
    UnknownModel,
)
from rerank_service.long_work import MANY_ITEMS
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document, SentDocument, TextLength
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong
from rerank_service.ranking.results import RankedDocument
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.reranker import Reranker
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.fair_threads import FairThreads
from rerank_service.scheduling.live_tickets import Ticket
from rerank_service.scheduling.partial_cutoff import Cutoff
from rerank_service.scheduling.stoppable import CallStopped
from support.limits import request_limits
from support.running import DocumentReader, Running, running
from support.small import BOOM, NAN, logit

T = TypeVar("T")


async def test_results_are_sorted_by_logit(core: Running) -> None:
    """The logit of the small model is the sum of the numbers in the document."""
    ranking = await core.rank("0", "1", "5 5", "3", "")
    assert [(result.index, result.logit) for result in ranking] == [(1, 10), (2, 3), (0, 1), (3, 0)]
    assert core.idle()


async def test_usage_counts_tokens(core: Running) -> None:
    """Each pair has 3 special tokens and 2 of the query. The documents have 1 and 3 tokens; rows are padded to 8."""
    usage = (await core.rank("0 0", "1", "1 2 3")).usage
    assert (usage.query_tokens, usage.document_tokens, usage.prompt_tokens) == (2, 4, 14)
    assert (usage.pairs, usage.padded_tokens) == (2, 16)


async def test_duplicates_are_scored_once(small_model: Bundle) -> None:
    """Within a part and across parts, before and after the original is scored. Each duplicate has a result."""
    texts = ["5", "3", "5", "1 2", "5", "3", "4", "5"]
    for chunk in (1, 3, 100):
        async with running(small_model, limits=request_limits(part_documents=chunk)) as core:
            ranking = await core.rank("0", *texts)
            assert [result.index for result in ranking] == sorted(range(8), key=lambda at: -logit(texts[at]))
            assert [result.logit for result in ranking] == sorted(map(logit, texts), reverse=True)
            assert (ranking.usage.pairs, ranking.documents) == (4, 8)
            assert sum(map(len, core.score.batches)) == 4


async def test_duplicate_of_a_scored_document_has_a_partial_score(core: Running) -> None:
    """The duplicates arrive in a later chunk of a stream."""
    partial: asyncio.Queue[int] = asyncio.Queue()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document("5")]
        assert await partial.get() == 0
        yield [Document("5"), Document("5")]

    async def on_scores(results: Iterator[RankedDocument]) -> None:
        for result in results:
            partial.put_nowait(result.index)

    ranking = await core.rank_stream(RerankRequest(query="0"), chunks(), on_scores)
    assert [result.logit for result in ranking] == [5.0, 5.0, 5.0]
    assert {await partial.get(), await partial.get()} == {1, 2}


async def test_long_document_is_cut_on_the_requested_side_or_rejected(core: Running) -> None:
    """The query leaves 28 tokens. The error names the document and the limit."""
    texts = [Document("1"), Document(" ".join(["1"] * 20 + ["2"] * 20))]

    async def rank(**options: Any) -> list[float]:
        request = RerankRequest(query="0", **options)
        ranking = await core.reranker.rerank(request, texts, reader=DocumentReader(), deadline=Deadline.after(60))
        return [result.logit for result in ranking]

    assert await rank(too_long=TooLong.CUT) == [20 + 2 * 8, 1]
    assert await rank(too_long=TooLong.CUT, cut_side=CutSide.LEFT) == [8 + 2 * 20, 1]
    with pytest.raises(TooLarge, match=r"documents\[1\] is too long: beside this query, at most 28 tokens") as caught:
        await rank(too_long=TooLong.REFUSE)
    assert (caught.value.field, caught.value.reason) == ("documents[1]", "document_too_long")
    assert core.idle()


async def test_documents_are_read_in_worker_threads(core: Running) -> None:
    """In parts, so that 10,000 objects do not block the event loop."""
    parts: list[list[str]] = []

    class Slow(DocumentReader):
        def read(self, sent: SentDocument, field: str) -> Document:
            assert threading.current_thread() is not threading.main_thread()
            parts[-1].append(field)
            return super().read(sent, field)

        def length(self, raw: Document) -> TextLength:
            return TextLength(400_000)

    tokenize = core.model.tokenizer.encode_documents
    core.model.tokenizer.encode_documents = lambda *args, **options: (  # type: ignore[method-assign]
        parts.append([]) or tokenize(*args, **options)  # type: ignore[func-returns-value]
    )
    parts.append([])
    documents = [Document(str(number)) for number in range(5)]
    await core.reranker.rerank(RerankRequest(query="0"), documents, reader=Slow(), deadline=Deadline.after(60))
    assert [len(part) for part in parts] == [2, 2, 1, 0]
    assert parts[2] == ["documents[4]"]


class _CountedThreads(FairThreads):
    """Threads that count their calls."""

    calls = 0

    async def run(self, group: str, call: Callable[[], T]) -> T:
        self.calls += 1
        return await super().run(group, call)


@pytest.mark.parametrize(("texts", "calls"), [(["5"], 1), (["5", "3", "4", "1"], 2)])
async def test_a_part_is_one_call_of_a_thread(small_model: Bundle, texts: list[str], calls: int) -> None:
    """The first part has the query, too: each call waits twice for a core. The documents of a stream may arrive later
    than its query, which is then known."""
    async with running(small_model, limits=request_limits(part_documents=3)) as core:
        with _CountedThreads(1, "test") as threads:
            reranker = Reranker(core.registry, core.admissions, core.reranker.limits, threads)
            documents = [Document(text) for text in texts]
            ranking = await reranker.rerank(
                RerankRequest(query="0"), documents, reader=DocumentReader(), deadline=Deadline.after(60)
            )
            assert ranking.usage.query_tokens == 1
            assert threads.calls == calls

            async def chunks() -> AsyncIterator[Sequence[Document]]:
                while threads.calls == calls:  # until the query is tokenized
                    await asyncio.sleep(0)
                yield documents

            rankings: list[Ranking] = []

            async def deliver(ranking: Ranking) -> None:
                rankings.append(ranking)

            await reranker.rerank_stream(
                RerankRequest(query="0"),
                chunks(),
                reader=DocumentReader(),
                deadline=Deadline.after(60),
                deliver=deliver,
            )
            assert threads.calls == calls + 1 + calls
            assert list(rankings[0]) == list(ranking)
        assert core.idle()


@pytest.mark.parametrize(("documents", "in_loop"), [(100 * MANY_ITEMS - 1, True), (100 * MANY_ITEMS, False)])
async def test_many_documents_are_sorted_in_a_thread(
    core: Running, monkeypatch: pytest.MonkeyPatch, documents: int, in_loop: bool
) -> None:
    """So are the documents without a score listed. A stream has up to a million documents. The event loop sorts fewer
    without waiting for the threads of other requests."""
    threads: dict[str, int] = {}

    def noting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:
            threads[name] = threading.get_ident()
            return method(*args)

        return noted

    for name, method in (("order", Scoreboard.order), ("missing", Scoreboard.missing)):
        monkeypatch.setattr(Scoreboard, name, noting(name, method))
    cutoff = Cutoff(Deadline.after(1000))

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document(str(number)) for number in range(documents)]

    core.score.hold()
    stream = asyncio.create_task(core.rank_stream(RerankRequest(query="0"), chunks(), cutoff=cutoff))
    await core.score.started()
    cutoff.trigger()
    missing = (await stream).missing
    assert missing is not None
    assert missing.received == documents
    assert [thread == threading.get_ident() for thread in threads.values()] == [in_loop] * 2


async def test_times_add_up(core: Running) -> None:
    """No time is negative; queue and inference are within the total."""
    timing = (await core.rank("0", "1", "2")).timing
    assert min(timing.queue, timing.tokenize, timing.inference) >= 0
    assert timing.queue + timing.inference <= timing.total


async def test_nan_fails_only_its_own_request(core: Running) -> None:
    """The error names the document. The other request in the batch is answered, and the next request works."""
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


async def test_engine_error_fails_only_its_own_request(core: Running) -> None:
    """onnxruntime rejects the whole batch; scoring its halves finds the document."""
    bad, good = asyncio.create_task(core.rank("0", "1", BOOM)), asyncio.create_task(core.rank("0", "2", "3"))
    with pytest.raises(InferenceFailed, match=r"documents\[1\]"):
        await bad
    assert [result.index for result in await good] == [1, 0]
    assert core.idle()


async def test_cancelled_request_leaves_nothing_behind(core: Running) -> None:
    """No capacity, no pairs and no tasks."""
    before = asyncio.all_tasks()
    core.score.hold()
    task = asyncio.create_task(core.rank("0", *map(str, range(90))))
    await core.score.started()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert core.idle()
    assert asyncio.all_tasks() == before


async def test_expired_request_leaves_nothing_behind(core: Running) -> None:
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


async def test_text_of_a_cancelled_request_is_not_written(core: Running) -> None:
    """An object that the thread reads when its request ends. A large one would keep the thread for seconds."""
    begun, cancelled = threading.Event(), threading.Event()
    errors: list[Exception] = []

    class HeldReader(JsonReader):
        def read(self, sent: SentDocument, field: str) -> Document:
            begun.set()
            cancelled.wait()
            try:
                return super().read(sent, field)
            except CallStopped as error:
                errors.append(error)
                raise

    with FairThreads(1, "test") as threads:
        reranker = Reranker(core.registry, core.admissions, core.reranker.limits, threads)
        document = {"numbers": list(range(10)), "other": 1}
        ranking = asyncio.create_task(
            reranker.rerank(RerankRequest(query="0"), [document], reader=HeldReader(), deadline=Deadline.after(60))
        )
        await asyncio.to_thread(begun.wait)
        ranking.cancel()
        await asyncio.wait([ranking])
        cancelled.set()
    assert len(errors) == 1
    assert core.idle()


async def test_request_beyond_its_limits_is_rejected(small_model: Bundle) -> None:
    """Number of documents, characters of the query, characters of a document: the error names the field."""
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


async def test_overloaded_server_rejects_and_carries_the_retry_time(small_model: Bundle) -> None:
    """Without other requests, a request of any size is accepted."""
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


async def test_admission_knows_the_priority(core: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a request and of a stream."""
    priorities: list[int] = []
    admit = core.admission.admit

    def noted(*args: Any) -> AbstractContextManager[Ticket]:
        priorities.append(args[-1])
        return admit(*args)

    monkeypatch.setattr(core.admission, "admit", noted)
    request = RerankRequest(query="0", priority=-3)
    await core.reranker.rerank(request, [Document("1")], reader=DocumentReader(), deadline=Deadline.after(60))
    await core.rank_stream(request, _chunks(["1"], 1))
    assert priorities == [-3, -3]


async def test_draining_server_finishes_live_requests_and_rejects_new_ones(core: Running) -> None:
    """`drained` waits for the last response."""
    core.score.hold()
    live = asyncio.create_task(core.rank("0", "1"))
    await core.score.started()
    core.admission.close()
    drained = asyncio.create_task(core.admission.drained())
    with pytest.raises(NotReady):
        await core.rank("0", "1")
    assert not drained.done()
    core.score.release()
    assert len(await live) == 1
    await drained


async def _rank_with(core: Running, model: str) -> Ranking:
    request = RerankRequest(query="0", model=model)
    return await core.reranker.rerank(request, [Document("1")], reader=DocumentReader(), deadline=Deadline.after(60))


async def test_unknown_model_is_rejected_with_the_served_names(core: Running) -> None:
    """An empty name and `default` mean the served model."""
    for name in ("", "default", "small"):
        assert (await _rank_with(core, name)).model == "small"
    with pytest.raises(UnknownModel, match="'other' is not served here; served: small"):
        await _rank_with(core, "other")


async def _chunks(texts: Sequence[str], size: int) -> AsyncIterator[Sequence[Document]]:
    for at in range(0, len(texts), size):
        yield [Document(text, original=text, id=text) for text in texts[at : at + size]]


NUMBERS = st.lists(st.integers(0, 99).map(str), min_size=1, max_size=60)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=NUMBERS, size=st.integers(1, 20), room=st.integers(1, 8), top_n=st.none() | st.integers(1, 70))
def test_stream_and_unary_request_have_equal_rankings(
    small_model: Bundle, texts: list[str], size: int, room: int, top_n: int | None
) -> None:
    """For any chunks and any room. Each partial score is sent once."""
    partial: list[int] = []

    async def on_scores(results: object) -> None:
        partial.extend(result.index for result in results)  # type: ignore[attr-defined]

    async def both() -> tuple[list[RankedDocument], list[RankedDocument]]:
        request = RerankRequest(query="0", top_n=top_n, return_documents=True)
        async with running(small_model, limits=request_limits(room=room, part_documents=3)) as core:
            ranking = await core.rank_stream(request, _chunks(texts, size), on_scores)
            documents = [Document(text, original=text, id=text) for text in texts]
            unary = await core.reranker.rerank(request, documents, reader=DocumentReader(), deadline=Deadline.after(60))
            assert core.idle()
            return list(ranking), list(unary)

    streamed, unary = asyncio.run(both())
    assert streamed == unary
    assert [result.logit for result in streamed] == sorted((logit(text) for text in texts), reverse=True)[:top_n]
    assert sorted(partial) == list(range(len(texts)))


async def test_stream_is_read_only_while_there_is_room(small_model: Bundle) -> None:
    """While no pair is scored, only as many chunks are read as there is room for."""
    chunks_read = 0

    async def endless() -> AsyncIterator[Sequence[Document]]:
        nonlocal chunks_read
        while True:
            chunks_read += 1
            yield [Document(f"{chunks_read} {number}") for number in range(10)]

    async with running(small_model, limits=request_limits(room=30, part_documents=10)) as core:
        core.score.hold()
        stream = core.rank_stream(RerankRequest(query="0"), endless())
        task = asyncio.create_task(stream)
        await core.score.started()
        while len(core.score.batches[0]) + core.model.scheduler.waiting < 30:
            await asyncio.sleep(0)
        for _ in range(100):  # turns of the event loop, in which an unlimited reader would read on
            await asyncio.sleep(0)
        read_when_full = chunks_read
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert read_when_full == 4  # three fill the room, the fourth waits
        assert core.idle()


@pytest.mark.parametrize("options", [{"return_documents": True}, {"highlights": 1}])
async def test_stream_is_read_only_while_there_is_memory(small_model: Bundle, options: dict[str, Any]) -> None:
    """Documents in progress may be outside the `top_n`, so they are no error. A single one may exceed the limit."""
    chunks_read = 0
    long = " ".join(["1"] * 20)  # 39 bytes

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        nonlocal chunks_read
        for number in range(10):
            chunks_read += 1
            text = f"{long} {number}"
            yield [Document(text, original=text, size=0 if "highlights" in options else len(text))]

    async with running(small_model, limits=request_limits(max_kept_bytes=100)) as core:
        core.score.hold()
        request = RerankRequest(query="0", top_n=1, **options)
        task = asyncio.create_task(core.rank_stream(request, chunks()))
        await core.score.started()
        while chunks_read < 4 and not task.done():
            await asyncio.sleep(0)
        for _ in range(100):  # turns of the event loop, in which an unlimited reader would read on
            await asyncio.sleep(0)
        assert chunks_read == 4  # three exceed the memory, the fourth waits
        core.score.release()
        assert [result.index for result in await task] == [9]
        assert core.idle()


async def test_stream_is_rejected_for_the_memory_of_its_ranking(small_model: Bundle) -> None:
    """One document that exceeds the limit does not wait for itself. It is no error after a better one."""

    async def ranked(*texts: str) -> list[int]:
        scored = asyncio.Event()

        async def chunks() -> AsyncIterator[Sequence[Document]]:
            for text in texts:
                yield [Document(text, original=text, size=len(text))]
                await scored.wait()
                scored.clear()

        async def on_scores(_: object) -> None:
            scored.set()

        request = RerankRequest(query="0", top_n=1, return_documents=True)
        return [result.index for result in await core.rank_stream(request, chunks(), on_scores)]

    long = " ".join(["1"] * 20)
    async with running(small_model, limits=request_limits(max_kept_bytes=10)) as core:
        with pytest.raises(TooLarge, match="return_documents would keep more than 10 bytes") as caught:
            await ranked(long, "1", "2")
        assert caught.value.field == "return_documents"
        assert await ranked("90", long, "2") == [0]
        assert core.idle()


async def test_stream_beyond_its_limit_is_rejected(small_model: Bundle) -> None:
    """The limit of streams is higher than that of unary requests."""
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

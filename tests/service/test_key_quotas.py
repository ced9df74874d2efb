"""The limits of a key in the flow of a request: estimated tokens, used tokens, streams, models."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from rerank_service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    ModelNotAllowed,
    Overloaded,
    RateLimited,
    TooLarge,
    UnknownModel,
)
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.quota import KeyLimits, Quota
from support.running import DocumentReader, Running, running
from support.small import NAN

TOKENS = 1_000


def _caller(tokens: int = TOKENS) -> Caller:
    """Return a caller with a number of tokens, whose bucket does not fill."""
    return Caller("a", quota=Quota(KeyLimits(tokens_per_minute=tokens), clock=lambda: 0.0))


def _left(caller: Caller) -> int:
    """Return the number of tokens in the bucket of a caller."""
    quota = caller.quota

    def has(tokens: int) -> bool:
        try:
            with quota.charge(tokens):
                return True
        except RateLimited:
            return False

    return next(tokens for tokens in range(TOKENS, -1, -1) if has(tokens))


async def _rank(core: Running, caller: Caller, *texts: str, model: str = "", seconds: float = 60.0) -> Ranking:
    documents = [Document(text) for text in texts]
    request = RerankRequest(query="0", model=model)
    return await core.reranker.rerank(
        request, documents, reader=DocumentReader(), deadline=Deadline.after(seconds), caller=caller
    )


async def _chunks(*chunks: Sequence[str]) -> AsyncIterator[Sequence[Document]]:
    for texts in chunks:
        yield [Document(text) for text in texts]


async def _rank_stream(
    core: Running, caller: Caller, chunks: AsyncIterator[Sequence[Document]], seconds: float = 60.0
) -> Ranking:
    rankings: list[Ranking] = []

    async def deliver(ranking: Ranking) -> None:
        rankings.append(ranking)

    await core.reranker.rerank_stream(
        RerankRequest(query="0"),
        chunks,
        reader=DocumentReader(),
        deadline=Deadline.after(seconds),
        deliver=deliver,
        caller=caller,
    )
    return rankings[0]


async def test_used_tokens_are_charged(core: Running) -> None:
    """The tokens in the usage of the response count: without padding, and each duplicate once."""
    caller = _caller()
    ranking = await _rank(core, caller, "1", "1 2 3", "1", "1 2")
    assert ranking.usage.prompt_tokens == 3 * 4 + 6
    assert _left(caller) == TOKENS - 18
    ranking = await _rank_stream(core, caller, _chunks(["1", "2"], ["3 4"]))
    assert _left(caller) == TOKENS - 18 - ranking.usage.prompt_tokens


async def test_estimate_counts_while_the_request_runs(core: Running) -> None:
    """Two requests at once may not use the same tokens."""
    caller, texts = _caller(40), ["1 2 3 4"] * 4
    core.score.hold()
    first = asyncio.create_task(_rank(core, caller, *texts))
    await core.score.started()
    with pytest.raises(RateLimited, match="may use 40 tokens per minute"):
        await _rank(core, caller, *texts)
    core.score.release()
    await first


async def test_request_with_too_many_tokens_is_rejected(core: Running) -> None:
    """It could never be accepted. Nothing is charged."""
    caller = _caller()
    with pytest.raises(TooLarge, match="may use 1,000 per minute: send fewer or shorter documents"):
        await _rank(core, caller, *("1 2 3 4" for _ in range(500)))
    assert _left(caller) == TOKENS


async def test_query_of_blanks_does_not_hide_the_tokens_of_documents(core: Running) -> None:
    """Its length seems to be too much for the model, and it has one token. A query that is too long is named as the
    cause, also beside too many documents."""
    caller, documents = _caller(), [Document("1 2 3 4")] * 500
    for query, error, text in (
        ("0" + 1_000 * " ", TooLarge, "may use 1,000 per minute"),
        ("0 " * 500, InvalidRequest, "query has 500 tokens"),
    ):
        request = RerankRequest(query=query, too_long=TooLong.REFUSE)
        with pytest.raises(error, match=text):
            await core.reranker.rerank(
                request, documents, reader=DocumentReader(), deadline=Deadline.after(60), caller=caller
            )
    request = RerankRequest(query="0" + 1_000 * " ", too_long=TooLong.REFUSE)
    ranking = await core.reranker.rerank(
        request, documents[:2], reader=DocumentReader(), deadline=Deadline.after(60), caller=caller
    )
    assert ranking.usage.query_tokens == 1
    assert _left(caller) == TOKENS - ranking.usage.prompt_tokens


@pytest.mark.parametrize("text", ["1 2 3 4 5 6 7 8 9 0 ", "1 2 3 4 5 6 7 8 9 0”"], ids=["ascii", "quotation mark"])
async def test_texts_of_others_do_not_raise_the_estimate(core: Running, text: str) -> None:
    """Chinese texts have a token rate of their own, and others sent many of them. A quotation mark does not make a text
    one of them."""
    caller, texts = _caller(), [text] * 100
    for _ in range(20):
        await core.rank("0", *["京 京 京 京 京 京 京 京 京 京 "] * 256)
    with pytest.raises(TooLarge, match="may use 1,000 per minute"):
        await _rank(core, caller, *["京 京 京 京 京 京 京 京 京 京 "] * 100)
    assert len(await _rank(core, caller, *texts)) == 100


async def test_rejected_and_failed_requests_are_charged_for_what_ran(small_model: Bundle) -> None:
    """An overloaded server charges nothing, a failed request the pairs that were scored."""
    caller = _caller()
    async with running(small_model, max_live_documents=1) as core:
        core.score.hold()
        first = asyncio.create_task(core.rank("0", "1"))
        await core.score.started()
        with pytest.raises(Overloaded):
            await _rank(core, caller, "1")
        core.score.release()
        await first
        assert _left(caller) == TOKENS
        with pytest.raises(InferenceFailed):
            await _rank(core, caller, NAN)
        assert _left(caller) == TOKENS - 5


async def _cancel_in_a_batch(core: Running, caller: Caller) -> None:
    """Cancel a request whose batch the test holds, and hold it further."""
    core.score.hold()
    request = asyncio.create_task(_rank(core, caller, "1", "2"))
    await core.score.started()
    request.cancel()
    await asyncio.wait([request])


async def test_cancelled_request_is_charged_for_what_ran(core: Running) -> None:
    """Here nothing."""
    caller = _caller()
    await _cancel_in_a_batch(core, caller)
    assert _left(caller) == TOKENS
    core.score.release()


async def test_cancelled_request_is_charged_for_a_batch_that_runs_on(core: Running) -> None:
    """OpenVINO does not stop one. With the scores in the cache, the same request would be free."""
    caller = _caller()
    core.score.run_on()
    await _cancel_in_a_batch(core, caller)
    assert _left(caller) == TOKENS
    core.score.release()
    await core.rank("0", "3")  # its logits come later
    assert _left(caller) == TOKENS - 10


async def test_scored_pairs_are_charged_although_nobody_took_them(core: Running) -> None:
    """A slow reader of partial scores cancels its stream. Three pairs of five tokens ran."""
    caller, begun = _caller(), asyncio.Event()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document("1")]
        await begun.wait()
        yield [Document("2"), Document("3")]
        await asyncio.Event().wait()

    async def take_slowly(_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    stream = asyncio.create_task(
        core.reranker.rerank_stream(
            RerankRequest(query="0"),
            chunks(),
            reader=DocumentReader(),
            deadline=Deadline.after(60),
            deliver=take_slowly,
            caller=caller,
            on_scores=take_slowly,
        )
    )
    while core.model.scheduler.work.totals().pairs < 3:
        await asyncio.sleep(0)
    await core.rank("0", "4")  # its logit is delivered after those of the stream
    stream.cancel()
    await asyncio.wait([stream])
    assert _left(caller) == TOKENS - 15


async def test_stream_without_tokens_waits(core: Running) -> None:
    """It continues when the debt is paid at the rate of the key."""
    caller = Caller("a", quota=Quota(KeyLimits(tokens_per_minute=60_000)))
    with caller.quota.charge_stream() as other:
        other.take(60_010)
        other.used = 60_010
    ranking = await _rank_stream(core, caller, _chunks(["1"], ["2"]))
    assert [result.index for result in ranking] == [1, 0]


async def test_waiting_stream_reads_nothing_and_ends_with_its_deadline(core: Running) -> None:
    """Only tokenized documents are charged."""
    caller = _caller(10)
    read = 0

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield [Document(f"{read} 2 3 4 5 6 7 8")]

    with pytest.raises(DeadlineExceeded):
        await _rank_stream(core, caller, chunks(), seconds=0.2)
    assert read == 2  # 11 tokens, and a debt of 1 before the second one
    while not core.idle():
        await asyncio.sleep(0)


def test_key_for_all_models_needs_no_names() -> None:
    """A look at all names of all models for each request would cost more than the rest of the check."""
    names = iter(("small", "other"))
    Caller().check_model(names)
    assert list(names) == ["small", "other"]


async def test_key_may_use_its_models_only(core: Running) -> None:
    """By their name or an alias. Another name is unknown, as for every key."""
    for allowed, model in (({"small"}, ""), ({"small", "other"}, "small"), ({"small"}, "default")):
        assert len(await _rank(core, Caller(models=frozenset(allowed)), "1", model=model)) == 1
    other = Caller(models=frozenset({"other"}))
    for model in ("", "small", "default"):
        with pytest.raises(ModelNotAllowed, match="may not use model 'small': use other"):
            await _rank(core, other, "1", model=model)
        with pytest.raises(ModelNotAllowed):
            await _rank_stream(core, other, _chunks(["1"]))
    with pytest.raises(UnknownModel):
        await _rank(core, other, "1", model="other")
    assert core.idle()

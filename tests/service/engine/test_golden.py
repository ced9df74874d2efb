"""The starter model has the logits and token ids of transformers, for 200 pairs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.cases import Case, golden_cases, golden_tokens
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import EncodedPair, collate
from rerank_service.scheduling.fair_queue import FairQueue
from support.limits import batch_limits

TOLERANCE = 1e-4
CASES = golden_cases()
GROUPS = list(dict.fromkeys(case.group for case in CASES))


@pytest.fixture(scope="module")
def session(starter: Bundle) -> CrossEncoder:
    """The starter model, loaded as in the server."""
    return CrossEncoder(starter.graph)


@pytest.fixture(scope="module")
def tokenizer(starter: Bundle) -> PairTokenizer:
    """The tokenizer of the starter model, loaded as in the server."""
    return PairTokenizer(starter.tokenizer, max_tokens=starter.manifest.max_tokens)


def _encode(tokenizer: PairTokenizer, cases: list[Case]) -> list[EncodedPair]:
    return [tokenizer.encode_documents(tokenizer.encode_query(case.query), [case.document])[0] for case in cases]


def _assert_golden(cases: list[Case], logits: NDArray[np.float32]) -> None:
    differences = np.abs(logits - np.array([case.logit for case in cases], np.float32))
    worst = int(differences.argmax())
    assert differences[worst] <= TOLERANCE, f"{cases[worst]!r} has the logit {logits[worst]}"


def test_golden_file_has_200_pairs() -> None:
    """Some pairs are cut and some are whole."""
    assert len(CASES) == 200
    assert {case.truncated for case in CASES} == {True, False}


@pytest.mark.parametrize("group", GROUPS)
def test_single_pair_has_its_golden_logit(
    group: str, session: CrossEncoder, tokenizer: PairTokenizer, starter: Bundle
) -> None:
    """A pair in a batch of its own has the logit of transformers."""
    cases = [case for case in CASES if case.group == group]
    limits = batch_limits()
    batches = [collate([pair], pad_id=starter.manifest.pad_id, limits=limits) for pair in _encode(tokenizer, cases)]
    _assert_golden(cases, np.concatenate([session.score(batch) for batch in batches]))


def test_padded_batches_have_the_golden_logits(
    session: CrossEncoder, tokenizer: PairTokenizer, starter: Bundle
) -> None:
    """Pairs of all groups, in the batches of the fair queue, have the logits of transformers."""
    pairs, limits = _encode(tokenizer, CASES), batch_limits()
    logits = np.full(len(pairs), np.nan, np.float32)
    queue: FairQueue[str, int] = FairQueue(limits, lanes=1)
    queue.enter("all")
    queue.add("all", [(len(pair), at) for at, pair in enumerate(pairs)])
    while positions := queue.take():
        batch = collate([pairs[at] for at in positions], pad_id=starter.manifest.pad_id, limits=limits)
        logits[positions] = session.score(batch)
    _assert_golden(CASES, logits)


def test_truncated_is_set_for_cut_pairs_only(tokenizer: PairTokenizer) -> None:
    """A pair is cut if it exceeds the token limit by one token or more."""
    pairs = _encode(tokenizer, CASES)
    assert [pair.truncated for pair in pairs] == [case.truncated for case in CASES]
    assert {len(pair) for pair in pairs if pair.truncated} == {tokenizer.max_tokens}


def test_token_ids_equal_those_of_transformers(tokenizer: PairTokenizer) -> None:
    """The tests of the exporter check the same ids with transformers."""
    texts, ids = zip(*golden_tokens(), strict=True)
    pairs = tokenizer.encode_documents(tokenizer.encode_query("?"), texts)
    assert [pair.document.tolist() for pair in pairs] == list(ids)

"""The gate: how unlike two scorings are, what a score may not depend on, and what is compared."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_export.errors import ExportFailed
from rerank_export.gate.drift import drift
from rerank_export.gate.invariance import invariance
from rerank_export.gate.parity_set import fitting, read_parity_set
from rerank_export.gate.tolerance import FP16, FP32, INT8, Tolerance, of_precision
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set
from rerank_service.scheduling.batching import Batch, EncodedPair


def _logits(*queries: list[float]) -> list[NDArray[np.float32]]:
    return [np.array(query, np.float32) for query in queries]


def test_what_is_the_same_has_no_drift() -> None:
    """And is within every tolerance."""
    some = _logits([3, 1, 2], [0, -1])
    found = drift(some, some)
    assert (found.max_difference, found.mean_difference, found.tau, found.top_10) == (0, 0, 1, 1)
    assert [found.beyond(allowed) for allowed in (FP32, FP16, INT8)] == [[], [], []]


def test_drift_is_over_all_queries() -> None:
    """The pair that differs most for its size is the one before last; one of two queries is turned round."""
    found = drift(_logits([20.5, 10], [0, 1.25, 3]), _logits([20, 10], [2, 1, 0]))
    assert found.max_difference == 3
    assert found.mean_difference == pytest.approx((0.5 + 0 + 2 + 0.25 + 3) / 5)
    assert found.tau == 0
    assert found.worst == 4
    assert found.max_relative_difference == 3


def test_a_large_logit_may_be_off_by_more() -> None:
    """For its size: sums of large numbers are rounded more."""
    found = drift(_logits([1000.05]), _logits([1000]))
    assert found.beyond(FP32) == []
    assert drift(_logits([1.05]), _logits([1])).beyond(FP32)


def test_the_ten_best_are_compared_as_a_set() -> None:
    """Two of ten are others; their order among themselves is tau's."""
    expected = np.arange(20, dtype=np.float32)
    seen = expected.copy()
    seen[[10, 11]] = -1
    assert drift([seen], [expected]).top_10 == 0.8


@pytest.mark.parametrize("allowed", [FP32, FP16, INT8], ids=["fp32", "fp16", "int8"])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_finite_is_beyond_every_tolerance(allowed: Tolerance, odd: float) -> None:
    """And is the pair that differs most."""
    found = drift(_logits([1, 2, 3], [1, odd, 3]), _logits([1, 2, 3], [1, 2, 3]))
    assert found.beyond(allowed)
    assert found.worst == 4


def test_what_is_beyond_is_said_with_its_bound() -> None:
    """A turned ranking, by its ranks where ranks decide."""
    found = drift(_logits([1, 2, 3]), _logits([3, 2, 1]))
    assert found.beyond(INT8) == ["tau-b is -1.0000 (0.995 is the least)"]
    assert found.beyond(FP32) == ["logits differ by up to 2.0e+00 (1e-04 is allowed)"]


def test_rounding_on_purpose_is_allowed_for() -> None:
    """Weights that were rounded to 16 bits are judged as such, whatever computes them."""
    assert of_precision("fp32", rounded=False) is FP32
    assert of_precision("fp32", rounded=True) is of_precision("fp16", rounded=True) is FP16
    assert of_precision("int8", rounded=False) is INT8


@pytest.fixture
def pairs(bundles: Callable[[str], Bundle]) -> list[EncodedPair]:
    """Three of different lengths."""
    tokenizer = PairTokenizer(bundles("bert").tokenizer, max_tokens=512)
    return tokenizer.encode_documents(tokenizer.encode_query("what"), ["ok", "the lazy dog", "over the lazy dog, ok"])


def _own(batch: Batch) -> NDArray[np.float32]:
    """A score that depends on nothing but its pair."""
    result: NDArray[np.float32] = (batch.input_ids * batch.attention_mask).sum(axis=1).astype(np.float32)
    return result


def _neighbours(batch: Batch) -> NDArray[np.float32]:
    return _own(batch) + batch.rows - 1


def _width(batch: Batch) -> NDArray[np.float32]:
    return _own(batch) * batch.length


def _place(batch: Batch) -> NDArray[np.float32]:
    return _own(batch) * (1 + np.arange(batch.rows, dtype=np.float32))


@pytest.mark.parametrize(
    ("score", "wrong"),
    [(_own, ()), (_neighbours, ("batch",)), (_width, ("padding", "batch")), (_place, ("batch", "order"))],
)
def test_each_dependence_is_found(
    score: Callable[[Batch], NDArray[np.float32]], wrong: tuple[str, ...], pairs: list[EncodedPair]
) -> None:
    """On neighbours, on padding, on the place in a batch; and none where there is none."""
    found = invariance(score, pairs, pad_id=0, max_tokens=512)
    assert {name for name in ("padding", "batch", "order") if getattr(found, name) > 0} == set(wrong)
    assert len(found.beyond(FP32)) == len(wrong)


def test_the_built_in_set_is_compared_as_a_whole() -> None:
    """200 queries with 20 documents each, or the first of them."""
    whole = read_parity_set(None, None)
    assert (whole.name, len(whole.queries), len(whole.pairs), whole.digest) == (
        "built-in",
        200,
        4000,
        parity_set.digest(),
    )
    some = read_parity_set(None, 3)
    assert (some.of, some.queries) == (200, whole.queries[:3])


def _write(folder: Path, *lines: object) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_ones_own_set_is_lines_of_queries_with_documents(tmp_path: Path) -> None:
    """Texts, or objects with a text as collections have them; the rest of a line does not matter."""
    first = {"query": "a", "documents": ["x", "y"]}
    second = {"query": "b", "documents": [{"id": "1", "text": "z", "grade": 2}, "y"], "qid": "7"}
    found = read_parity_set(_write(tmp_path, first, "", second), None)
    assert found.pairs == [("a", "x"), ("a", "y"), ("b", "z"), ("b", "y")]
    assert (found.name, found.of) == ("own.jsonl", 2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"documents": ["x", "y"]}, "2: query: Field required"),
        ({"query": "", "documents": ["x", "y"]}, "2: query: String should have at least 1 character"),
        ({"query": "a", "documents": ["x"]}, "2: documents: List should have at least 2 items"),
        ({"query": "a", "documents": ["x", {"id": "1"}]}, "2: documents.1: Input should be a valid string"),
        ("{", "2: Invalid JSON"),
    ],
)
def test_a_line_that_is_none_is_named(line: object, reason: str, tmp_path: Path) -> None:
    """With its field."""
    path = _write(tmp_path, {"query": "a", "documents": ["x", "y"]}, line)
    with pytest.raises(ExportFailed) as refused:
        read_parity_set(path, None)
    assert str(refused.value).startswith(f"{path}:{reason}")


def test_a_set_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ExportFailed, match=r"--parity no\.jsonl cannot be read: No such file"):
        read_parity_set(Path("no.jsonl"), None)
    with pytest.raises(ExportFailed, match=r"own\.jsonl: holds no query"):
        read_parity_set(_write(tmp_path), None)


def test_a_query_that_leaves_no_room_is_left_out(bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """As the server would refuse it; where all are such, there is nothing to compare."""
    tokenizer = PairTokenizer(bundles("bert").tokenizer, max_tokens=16)
    long, short = {"query": "over the lazy dog " * 9, "documents": ["a", "b"]}, {"query": "a", "documents": ["b", "c"]}
    kept, encoded = fitting(read_parity_set(_write(tmp_path, long, short), None), tokenizer)
    assert ([query.text for query in kept.queries], len(encoded)) == (["a"], 1)
    with pytest.raises(ExportFailed, match="no query of the parity set fits the model's window of 16 tokens"):
        fitting(read_parity_set(_write(tmp_path, long), None), tokenizer)


def test_equal_documents_are_compared_once(tmp_path: Path) -> None:
    """The last bits of their logits are no order."""
    file = tmp_path / "own.jsonl"
    file.write_text('{"query": "q", "documents": ["a", "b", "a"]}\n')
    assert read_parity_set(file, None).queries[0].documents == ("a", "b")
    file.write_text('{"query": "q", "documents": ["a", "b"]}\n{"query": "q", "documents": ["a", {"text": "a"}]}\n')
    with pytest.raises(ExportFailed, match=r"own\.jsonl:2: documents: all are the same text, and of one alone"):
        read_parity_set(file, None)

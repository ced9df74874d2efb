"""What is asked, what is kept while it is scored, and the ranking that comes out."""

import heapq
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import InferenceFailed, InvalidRequest, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.calibration_curve import Calibration, sigmoid
from rerank_service.ranking.document import Document

Span = tuple[int, int]
"""Where a part of a text begins and ends, in Unicode code points from 0."""

_RESULT_BYTES = 50
"""On the wire, with an id of middling length."""


class ScoreType(Enum):
    """What relevance_score holds."""

    PROBABILITY = "probability"
    """What the bundle says: calibrated where it is, else as SIGMOID."""
    RAW = "raw"
    """The logit."""
    SIGMOID = "sigmoid"
    """The model's own activation, whether or not the bundle is calibrated."""
    CALIBRATED = "calibrated"
    """By the bundle's calibration; there must be one."""


class TooLong(Enum):
    """What becomes of a document that the model's window does not hold beside the query."""

    WINDOWS = "windows"
    """Scored in windows, as far as `max_tokens_per_doc` and `max_chunks_per_doc` let it."""
    WHOLE = "whole"
    """Likewise, and refused where those would cut it."""
    CUT = "cut"
    """Cut at the model's length."""
    REFUSE = "refuse"
    """InvalidRequest, which names the document."""


class WindowScore(Enum):
    """What makes the score of a document that is scored in windows."""

    BEST = "best"
    """Its best window."""
    BEST_TWO = "best_two"
    """The mean of its best two windows' logits."""


class CutSide(Enum):
    """Where a document is cut."""

    RIGHT = "right"
    """Its end is lost."""
    LEFT = "left"
    """Its beginning is lost."""


class Activation(Enum):
    """How a logit becomes a probability."""

    SIGMOID = "sigmoid"
    IDENTITY = "identity"
    """It does not: the model's output is the score, a probability already or not meant to be one."""


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """All that is asked, but for the documents, which flow beside it.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    query: str
    model: str = ""
    top_n: int | None = None
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    """None: as many as the server reads."""
    max_chunks_per_doc: int | None = None
    """Windows of a document that are scored, at most."""
    overlap_tokens: int | None = None
    """Tokens that neighbouring windows share, at most: half of a window. None: an eighth."""
    window_score: WindowScore = WindowScore.BEST
    too_long: TooLong = TooLong.WINDOWS
    cut_side: CutSide = CutSide.RIGHT
    score_type: ScoreType = ScoreType.PROBABILITY
    min_score: float | None = None
    priority: int = 0
    instruction: str = ""
    """What to look for, in place of the model's own instruction; empty: that."""

    def __post_init__(self) -> None:
        if not self.query:
            raise InvalidRequest("query must not be empty", field="query", reason="empty_query")
        for field, least in (("top_n", 1), ("max_tokens_per_doc", 1), ("max_chunks_per_doc", 1), ("overlap_tokens", 0)):
            value = getattr(self, field)
            if value is not None and value < least:
                wrong = f"{field} must be at least {least}, not {value}"
                raise InvalidRequest(wrong, field=field, reason="out_of_range")
        if self.min_score is not None and math.isnan(self.min_score):
            raise InvalidRequest("min_score must be a number", field="min_score", reason="out_of_range")


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One result."""

    index: int
    """Position in the request's documents, from 0."""
    relevance_score: float
    logit: float
    truncated: bool
    id: str | None
    document: Any
    """`Document.original`, where documents were asked for, else None."""
    windows: int = 1
    """In which it was scored."""
    best_window: Span | None = None
    """The best of them, in the text that was ranked; None where there is but one."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost, in tokens."""

    query_tokens: int = 0
    document_tokens: int = 0
    padded_tokens: int = 0
    prompt_tokens: int = 0
    pairs: int = 0
    """Scored: each window of each document; documents that are the same to the model are scored once."""
    shared_pairs: int = 0
    """Not scored, since another request's score was there. The other numbers do not count them."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of a request went, in seconds."""

    queue: float
    tokenize: float
    inference: float
    total: float


@dataclass(frozen=True, slots=True)
class Missing:
    """What a ranking does not hold that was made before all was scored."""

    unscored: Sequence[range]
    """Indexes of documents that were received, in ascending order."""
    received: int
    """Documents that were read."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer: iterating gives the results, the best first, made as they are asked for."""

    model: str
    order: NDArray[np.int64]
    """Indexes of the documents that are returned, the best first."""
    usage: Usage
    timing: Timing
    board: "Scoreboard"
    missing: Missing | None = None
    """None where all is here."""

    def __len__(self) -> int:
        return len(self.order)

    @property
    def documents(self) -> int:
        """Documents of the request."""
        return len(self.board)

    @property
    def windows(self) -> int:
        """In which they were scored: one for each, and more for long ones."""
        return self.board.windows

    def __iter__(self) -> Iterator[RankedDocument]:
        return self.board.results(self.order)


def relevance(
    logits: NDArray[np.float32],
    activation: Activation,
    score_type: ScoreType,
    calibration: Calibration | None = None,
) -> NDArray[np.float64]:
    """relevance_score of each logit, in the order of the logits.

    Raises:
        InvalidRequest: calibrated scores are asked for, and there is no calibration.
    """
    wide = logits.astype(np.float64)
    if score_type is ScoreType.RAW:
        return wide
    if calibration is not None and score_type is not ScoreType.SIGMOID:
        return calibration.scores(wide)
    if score_type is ScoreType.CALIBRATED:
        raise InvalidRequest(
            "score_type is calibrated, and this model is not: leave it out, or calibrate the bundle (rerank calibrate)",
            field="score_type",
            reason="not_calibrated",
        )
    return wide if activation is Activation.IDENTITY else sigmoid(wide)


def rank(
    logits: NDArray[np.float32],
    scores: NDArray[np.float64],
    *,
    top_n: int | None = None,
    min_score: float | None = None,
) -> NDArray[np.int64]:
    """Indexes in order of relevance: by logit descending, ties by ascending index; min_score before top_n."""
    order = np.argsort(-logits, kind="stable")
    if min_score is not None:
        order = order[scores[order] >= min_score]
    return order[:top_n]


@dataclass(slots=True)
class _Windows:
    """The windows of a document, while they are scored."""

    spans: Sequence[Span]
    waiting: int
    best: tuple[float, int] = (-math.inf, 0)
    """Logit, and which window, counted down so that of equal ones the first is the best."""
    second: float = -math.inf

    def settle(self, window: int, logit: float) -> None:
        self.waiting -= 1
        worse, self.best = sorted((self.best, (logit, -window)))
        self.second = max(self.second, worse[0])

    def logit(self, how: WindowScore) -> float:
        one = how is WindowScore.BEST or len(self.spans) == 1
        return self.best[0] if one else (self.best[0] + self.second) / 2

    @property
    def best_span(self) -> Span:
        return self.spans[-self.best[1]]


class Scoreboard:
    """What is kept of each document of one request.

    An id and a score; the document itself only for as long as it can still be among the `top_n` that are
    returned with their documents, and at most `max_kept_bytes` of them in all.
    """

    def __init__(
        self,
        request: RerankRequest,
        activation: Activation,
        calibration: Calibration | None = None,
        *,
        max_kept_bytes: int | None = None,
    ) -> None:
        """Raises InvalidRequest where the request asks for scores that there are not."""
        self._request = request
        self._relevance = partial(
            relevance, activation=activation, score_type=request.score_type, calibration=calibration
        )
        self._relevance(np.empty(0, np.float32))
        self._max_kept_bytes = max_kept_bytes
        self._kept_bytes = 0
        self._logits = array("f")
        self._truncated = bytearray()
        self._read = array("I")  # of each document: how many windows, where the best of several begins and ends
        self._open: dict[int, _Windows] = {}
        self.windows = 0
        """Of all documents."""
        self._ids: dict[int, str] = {}
        self._documents: dict[int, Document] = {}
        self._best: list[tuple[float, int]] = []  # a heap: the worst of the documents kept is on top

    def __len__(self) -> int:
        return len(self._logits)

    def add(self, document: Document, *, truncated: bool, spans: Sequence[Span] = (), copied: bool = False) -> None:
        """Take in the next document, not scored yet; `spans` are its windows where there are several. One that is
        `copied` is scored by another's.

        Raises:
            TooLarge: the documents to return hold too much text.
        """
        index = len(self._logits)
        self._logits.append(math.nan)
        self._truncated.append(truncated)
        self._read.extend((len(spans) or 1, 0, 0))
        self.windows += len(spans) or 1
        if spans and not copied:
            self._open[index] = _Windows(spans, len(spans))
        if document.id is not None:
            self._ids[index] = document.id
        if self._request.return_documents:
            self._keep(index, document)

    def _keep(self, index: int, document: Document) -> None:
        self._documents[index] = document
        self._kept_bytes += document.size
        if self._max_kept_bytes is not None and self._kept_bytes > self._max_kept_bytes:
            raise TooLarge(
                f"return_documents would hold more than {counted(self._max_kept_bytes, 'byte')} of documents: "
                "set a (smaller) top_n, or leave return_documents out",
                field="return_documents",
            )

    def settle(self, index: int, logit: float, window: int = 0) -> bool:
        """Note the score of a document, or of a window of it; tells whether the document has its score now.

        Raises:
            InferenceFailed: the logit is not finite.
        """
        if not math.isfinite(logit):
            raise InferenceFailed(f"the model gave {logit} for documents[{index}]")
        if index in self._open:
            windows = self._open[index]
            windows.settle(window, logit)
            if windows.waiting:
                return False
            logit = windows.logit(self._request.window_score)
            self._read[3 * index + 1 : 3 * index + 3] = array("I", windows.best_span)
            del self._open[index]
        self._logits[index] = logit
        if index in self._documents:
            self._keep_best(index, self._logits[index])
        return True

    def repeat(self, copy: int, original: int) -> None:
        """Give a copy the score of its original."""
        self.resemble(copy, original)
        self.settle(copy, self._logits[original])

    def resemble(self, copy: int, original: int) -> None:
        """Give a copy, whose score comes by itself, the best window of its original."""
        self._read[3 * copy : 3 * copy + 3] = self._read[3 * original : 3 * original + 3]

    def _keep_best(self, index: int, logit: float) -> None:
        """Drop the document if it cannot be returned any more, or the one that it drives out."""
        request = self._request
        score = self._relevance(np.array([logit], np.float32))[0]
        if request.min_score is not None and score < request.min_score:
            self._drop(index)
        elif request.top_n is not None:
            heapq.heappush(self._best, (logit, -index))
            if len(self._best) > request.top_n:
                self._drop(-heapq.heappop(self._best)[1])

    def _drop(self, index: int) -> None:
        self._kept_bytes -= self._documents.pop(index).size

    def logit(self, index: int) -> float | None:
        """The logit of a document; None while it has none."""
        logit = self._logits[index]
        return None if math.isnan(logit) else logit

    def results(self, indexes: Sequence[int] | NDArray[np.int64]) -> Iterator[RankedDocument]:
        """The results of scored documents, in the order given."""
        logits = np.array([self._logits[index] for index in indexes], np.float32)
        scores = self._relevance(logits)
        for index, logit, score in zip(map(int, indexes), logits.tolist(), scores.tolist(), strict=True):
            document = self._documents.get(index)
            windows, start, end = self._read[3 * index : 3 * index + 3]
            yield RankedDocument(
                index,
                score,
                logit,
                bool(self._truncated[index]),
                self._ids.get(index),
                document and document.original,
                windows,
                (start, end) if end else None,
            )

    def order(self) -> NDArray[np.int64]:
        """Indexes of the documents to return, the best first; of those that are scored."""
        logits = np.array(self._logits, np.float32)
        scored = np.flatnonzero(~np.isnan(logits))
        scores = self._relevance(logits[scored])
        best = rank(logits[scored], scores, top_n=self._request.top_n, min_score=self._request.min_score)
        return scored[best]

    def missing(self, received: int) -> Missing:
        """What is not scored of the documents received, those that were not added yet among them."""
        unscored = np.ones(received, np.bool_)
        unscored[: len(self)] = np.isnan(np.array(self._logits, np.float32))
        edges = np.flatnonzero(np.diff(unscored, prepend=False, append=False))
        return Missing([range(start, end) for start, end in edges.reshape(-1, 2).tolist()], received)

    def answer_bytes(self, received: int) -> int:
        """About what a ranking takes on the wire of so many documents."""
        results = received if self._request.top_n is None else min(received, self._request.top_n)
        return results * _RESULT_BYTES + self._kept_bytes

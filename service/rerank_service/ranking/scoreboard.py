"""The scores of one request's documents, collected while its batches run."""

import heapq
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import InferenceFailed, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.document import Document, Span
from rerank_service.ranking.highlights import MAX_SENTENCES, ScoredText
from rerank_service.ranking.request import RerankRequest, WindowScore
from rerank_service.ranking.results import Highlight, Missing, RankedDocument
from rerank_service.ranking.scores import Activation, ScoreType, rank, relevance, score_meaning

_RESULTS_AT_ONCE = 1_000
"""Number of results whose numbers are read together. More would block the event loop."""
_RESULT_BYTES = 50
"""Approximate size of a result in a response, with an id of average length."""
_HIGHLIGHT_BYTES = 25
"""Approximate size of a highlight in a response."""


@dataclass(slots=True)
class _WindowScores:
    """The logits of one document's windows, until all are known."""

    spans: Sequence[Span]
    unscored: int
    """Number of windows without a logit."""
    best: tuple[float, int] = (-math.inf, 0)
    """Highest logit, and the negative number of its window: of equal logits the first window is the best."""
    second: float = -math.inf
    """Second highest logit."""

    def record(self, window: int, logit: float) -> None:
        self.unscored -= 1
        worse, self.best = sorted((self.best, (logit, -window)))
        self.second = max(self.second, worse[0])

    def logit(self, window_score: WindowScore) -> float:
        if window_score is WindowScore.BEST or len(self.spans) == 1:
            return self.best[0]
        return (self.best[0] + self.second) / 2

    @property
    def best_span(self) -> Span:
        return self.spans[-self.best[1]]


class Scoreboard:
    """The documents of one request with their scores.

    Of each document it keeps id and score. It keeps the document itself only while that can still be among the `top_n`
    documents to return. The documents that are scored and kept have at most `max_kept_bytes`.
    """

    def __init__(
        self,
        request: RerankRequest,
        activation: Activation,
        calibration: Calibration | None = None,
        *,
        max_kept_bytes: int | None = None,
    ) -> None:
        """`max_kept_bytes` is the maximum memory of scored documents to return, in bytes. None: no limit.

        Raises:
            InvalidRequest: the request needs a calibration that the model does not have.
        """
        self._request = request
        self._relevance = partial(
            relevance, activation=activation, score_type=request.score_type, calibration=calibration
        )
        self.score_type: ScoreType = score_meaning(activation, request.score_type, calibration)
        """Meaning of the relevance scores: raw, sigmoid or calibrated."""
        self._max_kept_bytes = max_kept_bytes
        self._ranked_bytes = 0
        """Memory of the documents to return that are scored, in bytes."""
        self.unscored_bytes = 0
        """Memory of the documents that may be returned and are not scored yet, in bytes."""
        self._logits = array("f")
        """Logit of each document; NaN while it has none."""
        self._truncated = bytearray()
        self._windows = array("I")
        """Three numbers for each document: its number of windows, then start and end of the best one. Both are 0 for a
        document that was scored as one pair."""
        self._unfinished: dict[int, _WindowScores] = {}
        """Documents in windows, until all windows are scored."""
        self._ids: dict[int, str] = {}
        self._documents: dict[int, Document] = {}
        """Documents that may be returned."""
        self._scored_parts: dict[int, Span] = {}
        """Span from the start of the first window to the end of the last one, for each kept document in windows."""
        self._highlights: dict[int, Sequence[Highlight]] = {}
        self._best: list[tuple[float, int]] = []
        """Heap of the `top_n` best kept documents, worst on top: logit, and the negative index."""
        self.windows = 0
        """Number of windows of all documents."""

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._logits)

    def add(self, document: Document, *, truncated: bool, spans: Sequence[Span] = (), duplicate: bool = False) -> None:
        """Add the next document, without a score.

        `spans` are its windows; empty for a document that is scored as one pair. A `duplicate` gets the score of an
        earlier document, so its windows are not scored.
        """
        index = len(self._logits)
        self._logits.append(math.nan)
        self._truncated.append(truncated)
        self._windows.extend((len(spans) or 1, 0, 0))
        self.windows += len(spans) or 1
        if spans and not duplicate:
            self._unfinished[index] = _WindowScores(spans, len(spans))
        if document.id is not None:
            self._ids[index] = document.id
        if self._request.return_documents or self._request.highlights:
            self._documents[index] = document
            self.unscored_bytes += self._size(document)
            if spans:
                self._scored_parts[index] = spans[0][0], spans[-1][1]

    def _size(self, document: Document) -> int:
        """Return the approximate memory of a kept document, in bytes."""
        return document.size + (len(document.text) if self._request.highlights else 0)

    def record(self, index: int, logit: float, window: int = 0) -> bool:
        """Record the logit of a document, or of one of its windows. Return True if the document has its score now.

        Raises:
            InferenceFailed: the logit is not finite.
            TooLarge: the documents to return exceed `max_kept_bytes`.
        """
        if not math.isfinite(logit):
            raise InferenceFailed(f"the model returned {logit} for documents[{index}]")
        if index in self._unfinished:
            windows = self._unfinished[index]
            windows.record(window, logit)
            if windows.unscored:
                return False
            logit = windows.logit(self._request.window_score)
            self._windows[3 * index + 1 : 3 * index + 3] = array("I", windows.best_span)
            del self._unfinished[index]
        self._logits[index] = logit
        if index in self._documents:
            size = self._size(self._documents[index])
            self.unscored_bytes -= size
            self._ranked_bytes += size
            self._keep_best(index, self._logits[index])
            self._check_ranked_bytes()
        return True

    def copy_score(self, duplicate: int, original: int) -> None:
        """Give a duplicate the score and the best window of its original."""
        self.copy_best_window(duplicate, original)
        self.record(duplicate, self._logits[original])

    def copy_best_window(self, duplicate: int, original: int) -> None:
        """Give a duplicate the best window of its original. Its score is recorded separately."""
        self._windows[3 * duplicate : 3 * duplicate + 3] = self._windows[3 * original : 3 * original + 3]

    def _keep_best(self, index: int, logit: float) -> None:
        """Drop a document that cannot be returned any more: the one just scored, or one that it displaces."""
        request = self._request
        score = self._relevance(np.array([logit], np.float32))[0]
        if request.min_score is not None and score < request.min_score:
            self._drop(index)
        elif request.top_n is not None:
            heapq.heappush(self._best, (logit, -index))
            if len(self._best) > request.top_n:
                self._drop(-heapq.heappop(self._best)[1])

    def _drop(self, index: int) -> None:
        self._ranked_bytes -= self._size(self._documents.pop(index))
        self._scored_parts.pop(index, None)

    def _check_ranked_bytes(self) -> None:
        if self._max_kept_bytes is not None and self._ranked_bytes > self._max_kept_bytes:
            field = "return_documents" if self._request.return_documents else "highlights"
            raise TooLarge(
                f"{field} would keep more than {counted(self._max_kept_bytes, 'byte')} of documents: "
                f"set a smaller top_n, or leave {field} out",
                field=field,
            )

    def logit(self, index: int) -> float | None:
        """Return the logit of a document; None while it has none."""
        logit = self._logits[index]
        return None if math.isnan(logit) else logit

    def scored_text(self, index: int) -> ScoredText:
        """Return a document of the ranking, for a request with highlights."""
        _, start, end = self._windows[3 * index : 3 * index + 3]
        return ScoredText(
            index=index,
            document=self._documents[index],
            logit=self._logits[index],
            truncated=bool(self._truncated[index]),
            windowed=self._scored_parts.get(index),
            best_window=(start, end) if end else None,
        )

    def set_highlights(self, best: Mapping[int, Sequence[tuple[Span, float]]]) -> None:
        """Set the highlights of documents: the spans of sentences with their logits, best first."""
        for index, sentences in best.items():
            scores = self._relevance(np.array([logit for _, logit in sentences], np.float32))
            self._highlights[index] = [
                Highlight(span, score, logit) for (span, logit), score in zip(sentences, scores.tolist(), strict=True)
            ]

    def results(self, indexes: Sequence[int] | NDArray[np.int64]) -> Iterator[RankedDocument]:
        """Yield the results of scored documents, in the order of `indexes`."""
        rows = np.asarray(indexes, np.int64)
        for start in range(0, len(rows), _RESULTS_AT_ONCE):
            yield from self._results(rows[start : start + _RESULTS_AT_ONCE])

    def _results(self, rows: NDArray[np.int64]) -> Iterator[RankedDocument]:
        logits = np.asarray(self._logits)[rows]  # without a copy of the others: a stream has many
        windows_of = np.asarray(self._windows).reshape(-1, 3)[rows]
        returned = self._documents if self._request.return_documents else {}
        columns = (rows, logits, self._relevance(logits), windows_of)
        for index, logit, score, (windows, start, end) in zip(*(column.tolist() for column in columns), strict=True):
            document = returned.get(index)
            yield RankedDocument(
                index=index,
                relevance_score=score,
                logit=logit,
                truncated=bool(self._truncated[index]),
                id=self._ids.get(index),
                document=document and document.original,
                windows=windows,
                best_window=(start, end) if end else None,
                highlights=self._highlights.get(index, ()),
            )

    def order(self) -> NDArray[np.int64]:
        """Return the indexes of the documents to return, best first; shape (results,). Unscored documents are left
        out."""
        logits, min_score = np.array(self._logits, np.float32), self._request.min_score
        scored = np.flatnonzero(~np.isnan(logits))
        logits = logits[scored]
        kept = None if min_score is None else self._relevance(logits) >= min_score
        return scored[rank(logits, top_n=self._request.top_n, kept=kept)]

    def missing(self, received: int) -> Missing:
        """Return which of the `received` documents have no score, those not added yet included."""
        unscored = np.ones(received, np.bool_)
        unscored[: len(self)] = np.isnan(np.array(self._logits, np.float32))
        edges = np.flatnonzero(np.diff(unscored, prepend=False, append=False))
        ranges = [range(start, end) for start, end in edges.reshape(-1, 2).tolist()]
        return Missing(ranges, received)

    def response_bytes(self, received: int) -> int:
        """Return the approximate size of the response to a request with that many documents, in bytes. Of the documents
        to return, those count that are scored."""
        results = received if self._request.top_n is None else min(received, self._request.top_n)
        highlights = min(self._request.highlights or 0, MAX_SENTENCES)
        documents = self._ranked_bytes if self._request.return_documents else 0
        return results * (_RESULT_BYTES + highlights * _HIGHLIGHT_BYTES) + documents

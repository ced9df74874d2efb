"""The scores of one request's documents, collected while batches run."""

import heapq
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import InferenceFailed, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.document import Document, Span
from rerank_service.ranking.request import RerankRequest, WindowScore
from rerank_service.ranking.results import Missing, RankedDocument
from rerank_service.ranking.scores import Activation, rank, relevance

_RESULT_BYTES = 50
"""On the wire, with an id of middling length."""


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
                index=index,
                relevance_score=score,
                logit=logit,
                truncated=bool(self._truncated[index]),
                id=self._ids.get(index),
                document=document and document.original,
                windows=windows,
                best_window=(start, end) if end else None,
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

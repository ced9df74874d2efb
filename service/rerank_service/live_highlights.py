"""The highlights of one request while its sentences are scored."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rerank_service.encoding.sentence_pairs import PreparedSentences
from rerank_service.live_request import LiveRequest
from rerank_service.ranking.highlights import ScoredText, SentenceBoard, steps
from rerank_service.scheduling.batching import KeyedPair
from rerank_service.scheduling.submission import Scored, Submission

_Place = tuple[int, int]
"""Index of a document, and the number of a sentence in it."""


class LiveHighlights:
    """The sentences of the documents in a ranking, and their logits. Used on the event loop only."""

    def __init__(self, live: LiveRequest, order: NDArray[np.int64]) -> None:
        """`order` are the indexes of the results, best first; shape (results,)."""
        self._live = live
        self._order: list[int] = order.tolist()
        self._sentences = SentenceBoard()
        self._first: dict[bytes, _Place] = {}
        """The first sentence with each key. Equal sentences are scored once."""
        self._equal: dict[_Place, list[_Place]] = {}
        """Sentences that wait for the logit of an equal one."""

    def parts(self) -> Iterator[Sequence[ScoredText]]:
        """Return the documents of the ranking in parts, each small enough to be split and tokenized in one step."""
        return steps(map(self._live.board.scored_text, self._order))

    def add(self, prepared: Sequence[PreparedSentences], submission: Submission) -> list[KeyedPair]:
        """Add the sentences of documents, and deliver the logits that are already known. Return the pairs that must be
        scored."""
        unscored = self._live.uncached([keyed for document in prepared for keyed in self._add(document)], submission)
        estimated = self._live.highlight_tokens * len(prepared) / len(self._order)
        self._live.correct_estimate(estimated, unscored)
        return unscored

    def _add(self, document: PreparedSentences) -> Iterator[KeyedPair]:
        """Add the sentences of a document, and yield the pairs of those without an equal one."""
        self._sentences.add(document.index, document.spans)
        if document.logit is not None:
            self._sentences.record(document.index, 0, document.logit)
        for keyed in document.pairs:
            place = (keyed.index, keyed.pair.window)
            first = self._first.setdefault(keyed.key, place)
            if first == place:
                yield keyed
            elif (logit := self._sentences.logit(*first)) is not None:
                self._sentences.record(keyed.index, keyed.pair.window, logit)
            else:
                self._equal.setdefault(first, []).append(place)

    async def record(self, scored: Scored) -> None:
        """Record the logits of sentences, also for equal ones."""
        self._live.count(scored)
        for index, sentence, logit in zip(scored.indexes, scored.windows, scored.logits, strict=True):
            for other, number in [(index, sentence), *self._equal.pop((index, sentence), ())]:
                self._sentences.record(other, number, logit)

    def finish(self) -> None:
        """Put the highlights on the board, for the documents whose sentences are all scored."""
        self._live.board.set_highlights(dict(self._sentences.best(self._live.request.highlights or 0)))

"""Observe the ranking of a request."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rerank_service.observability.request_record import RankedText, Stage
from rerank_service.ranking.document import Document, Reader, SentDocument, TextLength
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.results import Work

MAX_TEXTS = 20
"""Maximum number of documents whose texts are kept of a request, and of results."""
MAX_TEXT_CHARS = 1000
"""Maximum length of a text that is kept."""


@dataclass(slots=True, kw_only=True)
class RankingObservation:
    """The facts about a ranking that are known so far. Used on the event loop only."""

    model: str
    """Name of the model that the client asked for."""
    top_n: int | None
    highlights: int | None
    query: str
    """The beginning of the query; empty if no texts are kept."""
    reader: Reader
    """Reader to rank with: it keeps texts, if texts are kept."""
    work: Work | None = field(init=False, default=None)
    """The work. None: admission has not accepted the request."""
    results: list[RankedText] = field(init=False, default_factory=list)
    """The first results, if texts are kept."""
    _began: float = field(init=False, default_factory=lambda: asyncio.get_running_loop().time())
    _accepted: float = field(init=False, default=0.0)

    def add_work(self, work: Work) -> None:
        """Add the work of an accepted request, when it ends."""
        self.work = work
        self._accepted = asyncio.get_running_loop().time() - work.timing.total

    def add_results(self, ranking: Ranking) -> None:
        """Keep the first results, if texts are kept."""
        if self.query:
            self.results = [
                RankedText(each.index, each.id, each.relevance_score) for each in islice(ranking, MAX_TEXTS)
            ]

    def stages(self, ended: float) -> Iterator[Stage]:
        """Yield the stages that the ranking reached. `ended` is the time of the loop at the end of the request."""
        work, accepted = self.work, self._accepted
        if work is None:
            yield Stage("admission", self._began, ended, ended - self._began, failed=True)
            return
        yield Stage("admission", self._began, accepted, accepted - self._began)
        for name, interval, seconds in (
            ("tokenize", work.stages.tokenize, work.timing.tokenize),
            ("queue", work.stages.queue, work.timing.queue),
            ("inference", work.stages.inference, work.timing.inference),
        ):
            if interval is not None:
                yield Stage(name, accepted + interval.began, accepted + interval.ended, seconds)


class KeepingReader:
    """Reads documents with another reader, and keeps the first texts. Used by one worker thread at a time."""

    def __init__(self, reader: Reader, texts: list[str]) -> None:
        self._reader = reader
        self._texts = texts

    def length(self, raw: Any) -> TextLength:
        """Return the length that the other reader returns."""
        return self._reader.length(raw)

    def items(self, raw: Any) -> int:
        """Return the number of parts that the other reader returns."""
        return self._reader.items(raw)

    def query_chars(self, raw: Any) -> int | None:
        """Return the length that the other reader returns."""
        return self._reader.query_chars(raw)

    def read(self, sent: SentDocument, field: str) -> Document:
        """Return the document that the other reader returns."""
        document = self._reader.read(sent, field)
        if len(self._texts) < MAX_TEXTS:
            self._texts.append(document.text[:MAX_TEXT_CHARS])
        return document

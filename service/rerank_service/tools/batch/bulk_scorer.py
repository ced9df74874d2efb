"""Score many pairs at once with a model in this process.

All pairs of a call are tokenized, sorted by length, and divided into batches, which the lanes run one after the other.
The batches depend on the pairs only, not on time or on the number of lanes, so equal calls return equal scores.

Rule: pairs have the same tokens and windows as in the server (encoding/preparer.py).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from types import TracebackType
from typing import Self

import numpy as np

from rerank_service.encoding.pair_key import PairKeys
from rerank_service.encoding.preparer import Preparer, check_chars
from rerank_service.encoding.reading_plan import reading_plan
from rerank_service.errors import InferenceFailed, RequestError
from rerank_service.models.served_model import ServedModel
from rerank_service.ranking.document import SentDocument
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scores import relevance, score_meaning
from rerank_service.rust_panics import panics_as_errors
from rerank_service.scheduling.batch_run import BatchRunner, BatchScored, Outcome, PairFailed
from rerank_service.scheduling.batching import BatchLimits, EncodedPair
from rerank_service.scheduling.submission import Submission, WaitingPair
from rerank_service.tools.batch.cancellable_batches import CancellableBatches
from rerank_service.tools.batch.checked_batches import CheckedBatches
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.parts import Pairs
from rerank_service.tools.short_text import short_text
from rerank_service.tools.string_reader import StringReader


@dataclass(slots=True)
class _Encoded:
    """Tokenized pairs."""

    entries: list[WaitingPair] = field(default_factory=list)
    """Pairs, or windows of long documents; `index` is the position of the pair."""
    errors: dict[int, str] = field(default_factory=dict)


class BulkScorer:
    """Scores pairs with a model. While the lanes run the pairs of one call, those of the next are tokenized."""

    def __init__(self, model: ServedModel, limits: RequestLimits, options: RerankRequest) -> None:
        """`options` has the reading of documents and the score type; its query is not used.

        Raises:
            InvalidRequest: the score type is calibrated, and the model has no calibration; or no pair can be read with
                these options.
        """
        score_meaning(model.activation, options.score_type, model.calibration)  # raises
        self._model = model
        self._request = options
        self._limits = limits
        tokenizer = model.tokenizer
        self._plan_of = partial(
            reading_plan, limits=limits, max_tokens=tokenizer.max_tokens, template=tokenizer.template_tokens
        )
        self._plan = self._plan_of(options)
        scheduler = model.scheduler
        self._owner = Submission(lambda _owner, _pairs: None, scheduler.clock, 0)
        runner = BatchRunner(
            model.encoder.score, scheduler.limits, pad_id=model.bundle.manifest.pad_id, clock=scheduler.clock
        )
        self._batches = CheckedBatches(runner, self._short_pair(), model=model.info.name)
        self._running = CancellableBatches()
        self._encoding = ThreadPoolExecutor(1, thread_name_prefix="encoding")
        self._lanes = ThreadPoolExecutor(scheduler.lanes, thread_name_prefix="lane")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the unfinished work, and end the threads."""
        self._running.cancel()
        self._encoding.shutdown(cancel_futures=True)
        self._lanes.shutdown(cancel_futures=True)

    def submit(self, pairs: Pairs) -> Callable[[], PairScores]:
        """Start to score pairs. The returned function waits for their scores.

        It raises NothingScored if the model fails on every pair.
        """
        started = self._encoding.submit(self._start, pairs)

        def result() -> PairScores:
            encoded, batches = started.result()
            outcomes = [outcome for batch in batches for outcome in batch.result()]
            return self._scores(len(pairs), encoded.errors, outcomes)

        return result

    def _start(self, pairs: Pairs) -> tuple[_Encoded, list[Future[list[Outcome]]]]:
        encoded = self._encode(pairs)
        encoded.entries.sort(key=lambda entry: -len(entry.pair))
        batches = _batches(encoded.entries, self._model.scheduler.limits)
        return encoded, [self._lanes.submit(self._run, batch) for batch in batches]

    def _run(self, batch: Sequence[WaitingPair]) -> list[Outcome]:
        with self._running.running() as token:
            return self._batches.run(batch, token)

    def _encode(self, pairs: Pairs) -> _Encoded:
        encoded = _Encoded()
        for query, group in groupby(range(len(pairs)), key=pairs.queries.__getitem__):
            positions = list(group)
            sent = [SentDocument(pairs.documents[at], len(pairs.documents[at])) for at in positions]
            try:
                with panics_as_errors():
                    preparer = self._preparer(query)
            except Exception as error:  # noqa: BLE001 - an error of the rows, not of the job
                encoded.errors |= dict.fromkeys(positions, str(_of_the_row(error)))
            else:
                self._prepare(preparer, positions[0], sent, encoded)
        return encoded

    def _short_pair(self) -> EncodedPair:
        text = short_text()
        (prepared,) = self._preparer(text).prepare([SentDocument(text, len(text))], 0)
        return prepared.pairs[0].pair

    def _preparer(self, query: str) -> Preparer:
        check_chars("query", len(query), self._limits.max_query_chars)
        encoded = self._model.tokenizer.encode_query(query, self._request.instruction, self._plan.pair)
        return Preparer(
            request=self._request,
            plan=self._plan,
            plan_of=self._plan_of,
            tokenizer=self._model.tokenizer,
            reader=StringReader(),
            query=encoded,
            keys=PairKeys(encoded, self._model.identity),
            max_chars=self._limits.max_document_chars,
        )

    def _prepare(self, preparer: Preparer, first: int, sent: Sequence[SentDocument], encoded: _Encoded) -> None:
        """Tokenize consecutive pairs of one query. If one of them is invalid, each is tokenized alone."""
        try:
            with panics_as_errors():
                prepared = preparer.prepare(sent, first)
        except Exception as error:  # noqa: BLE001 - an error of a row, not of the job
            if len(sent) == 1:
                encoded.errors[first] = _message(first, _of_the_row(error))
                return
            for at, document in enumerate(sent, first):
                self._prepare(preparer, at, [document], encoded)
        else:
            pairs = (keyed for document in prepared for keyed in document.pairs)
            encoded.entries += (WaitingPair(self._owner, keyed.index, keyed.pair, None) for keyed in pairs)

    def _scores(self, count: int, errors: dict[int, str], outcomes: Sequence[Outcome]) -> PairScores:
        logits = np.full(count, -np.inf, np.float32)
        for entry, logit in _scored(outcomes):
            if np.isfinite(logit):
                logits[entry.index] = max(logits[entry.index], logit)  # of a long document, the best window
            else:
                errors[entry.index] = f"the model returned {logit}"
        for outcome in outcomes:
            if isinstance(outcome, PairFailed):
                errors[outcome.entry.index] = _message(outcome.entry.index, outcome.error)
        logits[list(errors)] = 0.0
        model, scores = self._model, np.full(count, np.nan)
        if count:
            scores = relevance(logits, model.activation, self._request.score_type, model.calibration)
        scores[list(errors)] = np.nan
        return PairScores(scores, logits.astype(np.float64), errors)


def _scored(outcomes: Sequence[Outcome]) -> Iterator[tuple[WaitingPair, float]]:
    for outcome in outcomes:
        if isinstance(outcome, BatchScored):
            yield from zip(outcome.entries, outcome.logits, strict=True)


def _batches(entries: Sequence[WaitingPair], limits: BatchLimits) -> Iterator[Sequence[WaitingPair]]:
    """Divide pairs, the longest first, into batches within the limits."""
    start = 0
    while start < len(entries):
        longest: EncodedPair = entries[start].pair
        rows = max(1, min(limits.max_pairs, limits.max_tokens // limits.padded(len(longest))))
        yield entries[start : start + rows]
        start += rows


def _of_the_row(error: Exception) -> Exception:
    """Return an error whose message is written beside the row. The tokenizer may fail on a text by a bug."""
    return error if isinstance(error, RequestError) else InferenceFailed(f"the tokenizer failed on the text: {error}")


def _message(position: int, error: Exception) -> str:
    """Return a message about one pair. The position in the call means nothing to a reader."""
    return str(error).replace(f"documents[{position}]", "the document")

"""Prepare the sentences of ranked documents for scoring: split the text that was scored, and tokenize its sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rerank_service.encoding.piece_reading import NO_LIMIT
from rerank_service.encoding.preparer import Preparer
from rerank_service.encoding.reading_plan import ReadingPlan
from rerank_service.encoding.sentences import nearest_spans, sentence_spans
from rerank_service.ranking.document import Span
from rerank_service.ranking.highlights import ScoredText
from rerank_service.ranking.request import CutSide
from rerank_service.scheduling.batching import EncodedPair, KeyedPair
from rerank_service.scheduling.stoppable import check_stopped


@dataclass(frozen=True, slots=True)
class PreparedSentences:
    """The sentences of one document."""

    index: int
    """Position of the document in the request, from 0."""
    spans: Sequence[Span]
    """Positions of the sentences in the text of the document."""
    pairs: Sequence[KeyedPair]
    """One pair for each sentence, whose `window` is the number of the sentence. Empty if `logit` is known."""
    logit: float | None = None
    """The logit, if the only sentence is the whole document."""


def prepare_sentences(preparer: Preparer, texts: Sequence[ScoredText]) -> list[PreparedSentences]:
    """Return the sentences of documents that were scored. Blocks.

    Raises:
        CallStopped: the request has ended meanwhile.
    """
    return [_prepare(preparer.with_own(scored.document.query, scored.document.cut), scored) for scored in texts]


def _prepare(preparer: Preparer, scored: ScoredText) -> PreparedSentences:
    check_stopped()
    text = scored.document.text
    start, end = _scored_part(preparer, scored)
    spans = [(start + first, start + last) for first, last in sentence_spans(text[start:end])]
    spans = nearest_spans(spans, scored.best_window)
    if spans == [(0, len(text))] and scored.is_one_pair:
        return PreparedSentences(scored.index, spans, (), scored.logit)
    fitting = dict(_fitting(preparer, text, spans))
    kept = nearest_spans(list(fitting), scored.best_window)
    pairs = [replace(fitting[span], window=number) for number, span in enumerate(kept)]
    keyed = [KeyedPair(scored.index, pair, preparer.keys.of(pair)) for pair in pairs]
    return PreparedSentences(scored.index, kept, keyed)


def _scored_part(preparer: Preparer, scored: ScoredText) -> Span:
    """Return the part of a text that was scored."""
    if scored.windowed is not None:
        return scored.windowed
    text = scored.document.text
    if not scored.truncated:
        return 0, len(text)
    return preparer.tokenizer.read_span(preparer.query, text, preparer.plan)


def _fitting(preparer: Preparer, text: str, spans: Sequence[Span]) -> Iterator[tuple[Span, EncodedPair]]:
    """Yield each sentence with its pair. A sentence that is longer than a window is split like a long document."""
    query, size = preparer.query, preparer.plan.window_size(preparer.query.room)
    texts = [text[start:end] for start, end in spans]
    pairs = preparer.tokenizer.encode_documents(query, texts, max_tokens_per_doc=size)
    for (start, end), sentence, pair in zip(spans, texts, pairs, strict=True):
        if not pair.truncated:
            yield (start, end), pair
            continue
        parts = preparer.tokenizer.encode_windows(query, sentence, _plan_of_parts(preparer.plan))
        for (first, last), part in zip(parts.spans, parts.windows, strict=True):
            yield (start + first, start + last), part


def _plan_of_parts(plan: ReadingPlan) -> ReadingPlan:
    """Return the plan for the parts of a sentence: all of them, without an overlap."""
    return replace(plan, max_tokens=NO_LIMIT, max_windows=None, overlap=0, cut_side=CutSide.RIGHT)

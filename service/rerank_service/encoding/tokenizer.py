"""Turn texts into the token ids of pairs: tokenize the query once and each document once, and join them by the layout
of the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordLevel

from rerank_service.encoding.characters import character_start
from rerank_service.encoding.encoded_query import EncodedQuery, fit_query
from rerank_service.encoding.pair_layout import Layout, template_layout, token_ids, tokenizer_layout
from rerank_service.encoding.pair_limits import PairLimits
from rerank_service.encoding.piece_reading import PieceReader, piece_chars
from rerank_service.encoding.reading_plan import ReadingPlan
from rerank_service.encoding.shared_tokenizers import shared_tokenizer
from rerank_service.encoding.template import Template
from rerank_service.encoding.text_length import is_dense
from rerank_service.encoding.token_estimate import TokenEstimate
from rerank_service.encoding.token_rate import TokenRates
from rerank_service.encoding.windows import window_spans
from rerank_service.errors import BundleInvalid
from rerank_service.quantities import counted
from rerank_service.ranking.document import Span
from rerank_service.ranking.request import CutSide
from rerank_service.scheduling.batching import EncodedPair


@dataclass(frozen=True, slots=True)
class EncodedWindows:
    """The windows of a document."""

    windows: Sequence[EncodedPair]
    spans: Sequence[Span]
    """Position of each window in the text."""
    truncated: bool
    """True if the windows do not hold the whole document."""


def start_batch_threads() -> None:
    """Start the threads of the tokenizers library (Rayon's), which otherwise start with the first batch of texts.

    They keep the priority of the thread that starts them, and a thread that loads a model has a lower one.
    """
    Tokenizer(WordLevel({"a": 0}, "a")).encode_batch(["a", "a"])


class PairTokenizer:
    """The tokenizer of a cross-encoder. Thread-safe."""

    def __init__(
        self, path: Path, *, max_tokens: int, template: Template | None = None, rates: TokenRates | None = None
    ) -> None:
        """`path` is a tokenizer.json. `max_tokens` is the maximum tokens of a pair, template included. Without a
        template, the tokenizer's own layout of pairs is used. `rates` learn from all texts that are tokenized.

        Raises:
            BundleInvalid: the file is not a tokenizer, its layout is not query, document, or the template leaves no
                room for query and document.
        """
        self._shared = shared_tokenizer(path)
        self._tokenizer = self._shared.tokenizer
        self._layout = _layout(self._tokenizer, template, path)
        if self._layout.size >= max_tokens - 1:
            raise BundleInvalid(
                f"{path}: the template alone has {counted(self._layout.size, 'token')}, and a pair at most "
                f"{max_tokens:,}: shorten the template"
            )
        self._rates = rates or TokenRates()
        self._reader = PieceReader(piece_chars(max_tokens), self._rates)
        self.max_tokens = max_tokens

    @property
    def template_tokens(self) -> int:
        """Tokens of a pair whose query and document are empty, without an instruction of the request."""
        return self._layout.size

    def token_estimate(self, query: str, plan: ReadingPlan, *, instruction: str = "") -> TokenEstimate:
        """Return the estimate of the tokens of documents. It keeps the token rates of now."""
        rates = self._rates.now
        return TokenEstimate(
            plan=plan,
            rates=rates,
            template=self._layout.size + rates[is_dense(instruction)] * len(instruction),
            query_tokens=rates[is_dense(query)] * len(query),
        )

    def exact_query_estimate(self, query: str, plan: ReadingPlan, *, instruction: str = "") -> TokenEstimate:
        """Return the estimate of the tokens of documents, with the exact tokens of query and instruction. Blocks.

        Raises:
            InvalidRequest: the query or the instruction is too long, or there is no slot for the instruction.
        """
        encoded = self.encode_query(query, instruction, plan.pair)
        fixed = plan.pair.tokens - encoded.room
        return TokenEstimate(
            plan=plan,
            rates=self._rates.now,
            template=fixed - encoded.query_tokens,
            query_tokens=encoded.query_tokens,
        )

    def encode_query(self, query: str, instruction: str = "", limits: PairLimits | None = None) -> EncodedQuery:
        """Encode a query. An empty `instruction` stands for the model's own. None for `limits`: only the model's limit
        on the tokens of a pair applies.

        Raises:
            InvalidRequest: the query or the instruction is too long, or there is no slot for the instruction.
        """
        limits = limits or PairLimits(tokens=self.max_tokens)
        return fit_query(self._tokenizer, self._layout, query, instruction, limits)

    def encode_documents(
        self,
        query: EncodedQuery,
        texts: Sequence[str],
        *,
        max_tokens_per_doc: int | None = None,
        cut_side: CutSide = CutSide.RIGHT,
    ) -> list[EncodedPair]:
        """Return the pair of each text with the query. Texts are cut to the room and to `max_tokens_per_doc`."""
        room = query.lead_tokens + min(query.room, max_tokens_per_doc or query.room)
        cut = partial(_cut_right, room=room)
        if cut_side is CutSide.LEFT:
            cut = partial(_cut_left, lead=token_ids(self._tokenizer, query.lead), room=room)
        return [
            EncodedPair(query.head, cut(ids), query.tail, query.document_type, truncated=len(ids) > room)
            for ids in self._reader.ids(texts, self._encode, room=room, side=cut_side, lead=query.lead)
        ]

    def encode_windows(self, query: EncodedQuery, text: str, plan: ReadingPlan) -> EncodedWindows:
        """Return the windows of a text that exceeds the room. Each window is tokenized separately, so its score is that
        of the same text as a document of its own."""
        most = plan.readable_tokens(query.room)
        offsets = self._reader.offsets(text, self._encode_with_offsets, room=most, side=plan.cut_side)
        read, size = plan.kept_tokens(offsets, query.room), plan.window_size(query.room)
        count = plan.window_count(len(read), query.room)
        spans = window_spans(text, read, size=size, overlap=plan.overlap_for(size), count=count)
        fitting = list(self._fitting_windows(query, text, spans))
        kept = plan.kept_windows(fitting)
        pairs = [
            EncodedPair(query.head, ids, query.tail, query.document_type, window=window)
            for window, (_, ids) in enumerate(kept)
        ]
        truncated = len(read) < len(offsets) or len(kept) < len(fitting)
        return EncodedWindows(pairs, [span for span, _ in kept], truncated)

    def read_span(self, query: EncodedQuery, text: str, plan: ReadingPlan) -> Span:
        """Return the part of a text that is read if the text is cut to one pair."""
        room = min(query.room, plan.max_tokens)
        offsets = self._reader.offsets(text, self._encode_with_offsets, room=room, side=plan.cut_side)
        if plan.cut_side is CutSide.RIGHT:
            return 0, int(offsets[:room][-1][1])
        return int(offsets[-room:][0][0]), len(text)

    def _fitting_windows(
        self, query: EncodedQuery, text: str, spans: Sequence[Span]
    ) -> Iterator[tuple[Span, NDArray[np.int64]]]:
        """Yield the span and the token ids of each window. A window that exceeds the room on its own is halved."""
        room = query.lead_tokens + query.room
        tokens = self._reader.ids([text[start:end] for start, end in spans], self._encode, lead=query.lead)
        for (start, end), ids in zip(spans, tokens, strict=True):
            if len(ids) <= room or end - start == 1:
                yield (start, end), _cut_right(ids, room)
            else:
                middle = character_start(text, start + 1, (start + end) // 2)
                yield from self._fitting_windows(query, text, [(start, middle), (middle, end)])

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    def _encode_with_offsets(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts with the positions of their tokens. Slower than `_encode`."""
        return self._tokenizer.encode_batch(texts, add_special_tokens=False)


def _cut_right(ids: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    return ids if len(ids) <= room else ids[:room].copy()  # a view would keep all tokens that were read


def _cut_left(ids: NDArray[np.int64], room: int, lead: NDArray[np.int64]) -> NDArray[np.int64]:
    return ids if len(ids) <= room else np.concatenate([lead, ids[len(ids) + len(lead) - room :]])


def _layout(tokenizer: Tokenizer, template: Template | None, path: Path) -> Layout:
    layout = template_layout(tokenizer, template) if template else tokenizer_layout(tokenizer)
    if layout is None:
        raise BundleInvalid(f"{path} does not lay out a pair as query, document: export the model with a template")
    return layout

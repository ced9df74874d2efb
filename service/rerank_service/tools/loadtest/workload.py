"""Requests of a load test: documents of mixed lengths. The same seed gives the same requests, and no two are equal."""

import json
import math
import random
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import accumulate

_SHORTEST_WORD = 2
_MOST_DIFFERENT, _MOST_DOCUMENTS = 64, 10_000
"""Maximum number of requests with different documents, and of their documents. Creating them takes about a second."""
_FLATTENED_RANKS = 100
"""Number of most common words with about the same frequency. Otherwise every tenth word would be "the"."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Distribution of text lengths, in words of the bundled vocabulary. Each word is one token of a BERT model.

    Lognormal, like the lengths of paragraphs: many short texts, few long ones. The bounds are two standard deviations
    from the median; values outside are drawn again.
    """

    shortest: int = 20
    longest: int = 400

    def draw(self, generator: random.Random) -> int:
        """Return one length."""
        median = math.log(self.shortest * self.longest) / 2
        deviation = math.log(self.longest / self.shortest) / 4
        while True:
            words = round(generator.lognormvariate(median, deviation))
            if self.shortest <= words <= self.longest:
                return words


@dataclass(frozen=True, slots=True)
class Request:
    """The query and the documents of one call."""

    query: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """A sequence of requests, addressed by number."""

    documents: int = 25
    """Number of documents per request."""
    lengths: Lengths = Lengths()
    query_lengths: Lengths = Lengths(3, 12)
    seed: int = 0

    def request(self, number: int) -> Request:
        """Return the request with a number. It depends only on the number and the fields of the workload."""
        generator = random.Random(f"{self.seed}/{number}")  # noqa: S311 - not used for secrets
        query = _text(generator, self.query_lengths.draw(generator))
        documents = (_text(generator, self.lengths.draw(generator)) for _ in range(self.documents))
        return Request(query, tuple(documents))

    def prepared(self, count: int, first: int = 0) -> "PreparedRequests":
        """Return `count` requests, starting at number `first`."""
        return PreparedRequests(tuple(self.request(number) for number in range(first, first + count)))

    def repeating(self) -> "RepeatingRequests":
        """Return requests without end. Their documents are created now, and repeat after a while."""
        return RepeatingRequests(
            self.prepared(max(1, min(_MOST_DIFFERENT, _MOST_DOCUMENTS // self.documents))).requests
        )


@dataclass(frozen=True, slots=True)
class PreparedRequests:
    """Requests that are created before the test and repeat in turn.

    Creating a request of a thousand documents takes time, which would be measured as part of the calls.
    """

    requests: tuple[Request, ...]

    def request(self, number: int) -> Request:
        """Return the request with a number; numbers beyond the last start again at the first."""
        return self.requests[number % len(self.requests)]

    def repeated(self, times: int) -> "PreparedRequests":
        """Return the same documents several times, under queries that differ by one word. A score cache of the server
        then has no matching pairs."""
        repeating = RepeatingRequests(self.requests)
        return PreparedRequests(tuple(map(repeating.request, range(times * len(self.requests)))))


@dataclass(frozen=True, slots=True)
class RepeatingRequests:
    """Requests that are created before the test and repeat in turn, each time under queries that differ by one word.

    A score cache of the server then has no matching pairs.
    """

    requests: tuple[Request, ...]

    def request(self, number: int) -> Request:
        """Return the request with a number."""
        times, place = divmod(number, len(self.requests))
        request = self.requests[place]
        if not times:
            return request
        words, _ = _vocabulary()
        return replace(request, query=f"{words[(times - 1) % len(words)]} {request.query.partition(' ')[2]}")

    def next_round(self, number: int) -> int:
        """Return the first number, from `number` on, that has the first documents again."""
        return math.ceil(number / len(self.requests)) * len(self.requests)


Requests = Workload | PreparedRequests | RepeatingRequests
"""Any sequence of requests."""


def _text(generator: random.Random, words: int) -> str:
    vocabulary, cumulative_weights = _vocabulary()
    return " ".join(generator.choices(vocabulary, cum_weights=cumulative_weights, k=words))


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Return the whole words of the bundled model's vocabulary, the most common first, and their cumulative weights.

    The weights follow Zipf's law approximately, because tokenizers are faster on repeated words.
    """
    tokenizer = json.loads((files("rerank_service") / "models/starter/tokenizer.json").read_bytes())
    ids = tokenizer["model"]["vocab"]
    words = [
        word
        for word in sorted(ids, key=ids.__getitem__)
        if len(word) >= _SHORTEST_WORD and word.isascii() and word.isalpha()
    ]
    return words, list(accumulate(1 / (rank + _FLATTENED_RANKS) for rank in range(len(words))))

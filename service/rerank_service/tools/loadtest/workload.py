"""The requests of a run: mixed lengths, the same for the same seed, no two alike."""

import json
import math
import random
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import accumulate

_SHORTEST_WORD = 2
_FLATTENED_RANKS = 100
"""How many of the most common words are about as common as one another, so that "the" is not every tenth word."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long documents are, in words of the bundled vocabulary; each is one token of a BERT model.

    Lognormal, as the lengths of paragraphs are: many short ones, few long ones. The bounds are two deviations from the
    median; what lies beyond is drawn again.
    """

    shortest: int = 20
    longest: int = 400

    def draw(self, dice: random.Random) -> int:
        """One length."""
        median = math.log(self.shortest * self.longest) / 2
        deviation = math.log(self.longest / self.shortest) / 4
        while True:
            words = round(dice.lognormvariate(median, deviation))
            if self.shortest <= words <= self.longest:
                return words


@dataclass(frozen=True, slots=True)
class Request:
    """What one call asks."""

    query: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests by their number."""

    documents: int = 25
    """Documents of each request."""
    lengths: Lengths = Lengths()
    query_lengths: Lengths = Lengths(3, 12)
    seed: int = 0

    def request(self, number: int) -> Request:
        """The request of that number; it depends on nothing else but the workload's own fields."""
        dice = random.Random(f"{self.seed}/{number}")  # noqa: S311 - nothing here is a secret
        query = _text(dice, self.query_lengths.draw(dice))
        return Request(query, tuple(_text(dice, self.lengths.draw(dice)) for _ in range(self.documents)))

    def prepared(self, count: int, first: int = 0) -> "Prepared":
        """`count` requests, from the one numbered `first`."""
        return Prepared(tuple(self.request(number) for number in range(first, first + count)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Requests made beforehand, over and over: making those of a thousand documents takes time that calls would seem
    to take."""

    requests: tuple[Request, ...]

    def request(self, number: int) -> Request:
        """The request of that number."""
        return self.requests[number % len(self.requests)]

    def repeated(self, times: int) -> "Prepared":
        """The same documents several times over, under queries that differ by a word: so that a server which keeps
        the scores of pairs does not find them."""
        words, _ = _vocabulary()
        again = (
            replace(request, query=f"{words[turn]} {request.query.partition(' ')[2]}")
            for turn in range(times - 1)
            for request in self.requests
        )
        return Prepared((*self.requests, *again))


def _text(dice: random.Random, words: int) -> str:
    vocabulary, cumulated = _vocabulary()
    return " ".join(dice.choices(vocabulary, cum_weights=cumulated, k=words))


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Whole words of the bundled model's vocabulary, which has the common ones first, and their cumulated weights:
    about Zipf's law, since tokenizers are quick on words that come again."""
    tokenizer = json.loads((files("rerank_service") / "models/starter/tokenizer.json").read_bytes())
    words = [
        word
        for word in sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
        if len(word) >= _SHORTEST_WORD and word.isascii() and word.isalpha()
    ]
    return words, list(accumulate(1 / (rank + _FLATTENED_RANKS) for rank in range(len(words))))

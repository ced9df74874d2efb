"""Golden scores and token ids of the bundled model, computed by transformers (make_golden.py)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

SCORES = Path(__file__).with_name("starter.json")
TOKENS = Path(__file__).with_name("starter_tokens.json")


class Repeated(TypedDict):
    """A long text, stored in a short form."""

    repeat: str
    times: int


Text = str | Repeated


@dataclass(frozen=True, slots=True)
class Group:
    """Queries and documents; each query is paired with each document."""

    name: str
    queries: list[Text]
    documents: list[Text]

    def pairs(self) -> list[tuple[str, str]]:
        """Return the texts of the pairs, query by query."""
        return [(expand(query), expand(document)) for query in self.queries for document in self.documents]


@dataclass(frozen=True, slots=True)
class Case:
    """A pair with its expected logit and truncation."""

    group: str
    query: str
    document: str
    logit: float
    truncated: bool


def expand(text: Text) -> str:
    """Return the full text."""
    return text if isinstance(text, str) else text["repeat"] * text["times"]


def golden_cases() -> list[Case]:
    """Return all pairs, grouped by query."""
    return [case for entry in json.loads(SCORES.read_text()) for case in _cases(entry)]


def _cases(entry: dict[str, Any]) -> list[Case]:
    group = Group(entry["name"], entry["queries"], entry["documents"])
    return [
        Case(group.name, query, document, logit, truncated=at in entry["truncated"])
        for at, ((query, document), logit) in enumerate(zip(group.pairs(), entry["logits"], strict=True))
    ]


def golden_tokens() -> list[tuple[str, list[int]]]:
    """Return texts with their token ids, without special tokens."""
    return [(text, ids) for text, ids in json.loads(TOKENS.read_text())]

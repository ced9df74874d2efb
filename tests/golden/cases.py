"""Golden scores and token ids of the bundled model, as transformers computed them; make_golden.py writes them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

SCORES = Path(__file__).with_name("starter.json")
TOKENS = Path(__file__).with_name("starter_tokens.json")


class Repeated(TypedDict):
    """A long text in few words."""

    repeat: str
    times: int


Text = str | Repeated


@dataclass(frozen=True, slots=True)
class Group:
    """Queries, each paired with each of the documents."""

    name: str
    queries: list[Text]
    documents: list[Text]

    def pairs(self) -> list[tuple[str, str]]:
        """The texts of the pairs, query by query."""
        return [(expand(query), expand(document)) for query in self.queries for document in self.documents]


@dataclass(frozen=True, slots=True)
class Case:
    """A pair with what is right for it."""

    group: str
    query: str
    document: str
    logit: float
    truncated: bool


def expand(text: Text) -> str:
    """The text itself."""
    return text if isinstance(text, str) else text["repeat"] * text["times"]


def golden_cases() -> list[Case]:
    """All pairs, those of one query next to one another."""
    return [case for entry in json.loads(SCORES.read_text()) for case in _cases(entry)]


def _cases(entry: dict[str, Any]) -> list[Case]:
    group = Group(entry["name"], entry["queries"], entry["documents"])
    return [
        Case(group.name, query, document, logit, truncated=at in entry["truncated"])
        for at, ((query, document), logit) in enumerate(zip(group.pairs(), entry["logits"], strict=True))
    ]


def golden_tokens() -> list[tuple[str, list[int]]]:
    """Texts with their token ids, special tokens left out."""
    return [(text, ids) for text, ids in json.loads(TOKENS.read_text())]

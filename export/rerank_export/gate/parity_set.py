"""What graphs are compared on: queries, each with its candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rerank_export.errors import ExportFailed
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import FileInvalid, InvalidRequest
from rerank_service.models.bundle import file_digest
from rerank_service.models.tuning import parity_set
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import EncodedPair
from rerank_service.tools.input_files import objects

BUILT_IN = "built-in"


def _text(document: Any) -> Any:
    return document["text"] if isinstance(document, dict) and "text" in document else document


class _Line(BaseModel):
    """As a line of the collections that `rerank eval` reads; what else it has is of no use here."""

    model_config = ConfigDict(frozen=True)

    query: str = Field(min_length=1)
    documents: list[Annotated[str, BeforeValidator(_text)]] = Field(min_length=2)
    """Of one alone there is no order."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its candidates."""

    text: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParitySet:
    """The queries that are scored, and of what they are a part."""

    name: str
    """A file's, or BUILT_IN."""
    digest: str
    """sha256 of the whole, in hex."""
    of: int
    """Queries in the whole."""
    queries: tuple[Query, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Query and document of each pair, query by query."""
        return [(query.text, document) for query in self.queries for document in query.documents]


def read_parity_set(file: Path | None, most: int | None) -> ParitySet:
    """The user's own, or the built-in one; of it the first `most` queries.

    Raises:
        ExportFailed: the file cannot be read, or holds something else; line and field are named.
    """
    if file is None:
        queries, name, digest = _built_in(), BUILT_IN, parity_set.digest()
    else:
        try:
            queries, name, digest = _read(file), file.name, file_digest(file)
        except FileInvalid as error:
            raise ExportFailed(str(error)) from error
        except OSError as error:
            raise ExportFailed(f"--parity {file} cannot be read: {error.strerror}") from error
    return ParitySet(name, digest, len(queries), queries[:most])


def _built_in() -> tuple[Query, ...]:
    return tuple(Query(query.text, query.documents) for query in parity_set.queries())


def _read(file: Path) -> tuple[Query, ...]:
    queries = tuple(Query(line.query, _different(line.documents, place)) for place, line in objects(file, _Line))
    if not queries:
        raise FileInvalid(f"{file}: holds no query")
    return queries


def _different(documents: Sequence[str], place: str) -> tuple[str, ...]:
    """Each text once: of equal ones the last bits of their logits would make an order that a graph can miss."""
    once = tuple(dict.fromkeys(documents))
    if len(once) < 2:
        raise FileInvalid(f"{place}: documents: all are the same text, and of one alone there is no order")
    return once


def fitting(parity_set: ParitySet, tokenizer: PairTokenizer) -> tuple[ParitySet, list[list[EncodedPair]]]:
    """The set without queries that are too long for the model's window, and the pairs of each other one as tokens.

    Raises:
        ExportFailed: there is no other one.
    """
    kept: list[Query] = []
    encoded: list[list[EncodedPair]] = []
    for query in parity_set.queries:
        try:
            encoded.append(encode(query, tokenizer))
        except InvalidRequest:
            continue
        kept.append(query)
    if not kept:
        raise ExportFailed(
            f"no query of the parity set fits the model's window of {counted(tokenizer.max_tokens, 'token')}"
        )
    return ParitySet(parity_set.name, parity_set.digest, parity_set.of, tuple(kept)), encoded


def encode(query: Query, tokenizer: PairTokenizer, *, document_tokens: int | None = None) -> list[EncodedPair]:
    """A query's pairs as tokens. Raises InvalidRequest where the query leaves no room."""
    head = tokenizer.encode_query(query.text)
    return tokenizer.encode_documents(head, query.documents, max_tokens_per_doc=document_tokens)

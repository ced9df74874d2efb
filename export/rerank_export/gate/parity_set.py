"""The parity set: the queries, each with its candidates, that graphs are compared on."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rerank_export.errors import ExportFailed
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import FileInvalid, InvalidRequest
from rerank_service.models.tuning import parity_set
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import EncodedPair
from rerank_service.tools.digested_file import DigestedFile
from rerank_service.tools.input_files import read_objects

BUILT_IN = "built-in"


def _text(document: Any) -> Any:
    return document["text"] if isinstance(document, dict) and "text" in document else document


class _Line(BaseModel):
    """A line of a collection, as `rerank eval` reads it. Other fields are ignored."""

    model_config = ConfigDict(frozen=True)

    query: str = Field(min_length=1)
    documents: list[Annotated[str, BeforeValidator(_text)]] = Field(min_length=2)
    """At least two: a single document has no rank to compare."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its candidates."""

    text: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParitySet:
    """The queries that are scored, and the file that they come from."""

    name: str
    """Name of the file, or BUILT_IN."""
    digest: str
    """sha256 of the whole file, in hex."""
    of: int
    """Number of queries in the whole file."""
    queries: tuple[Query, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Query and document of each pair, query by query."""
        return [(query.text, document) for query in self.queries for document in query.documents]


def read_parity_set(file: Path | None, most: int | None) -> ParitySet:
    """Read a parity set from a file, or the built-in set, and keep the first `most` queries.

    Raises:
        ExportFailed: the file cannot be read, or a line is invalid; the message names line and field.
    """
    if file is None:
        queries, name, digest = _built_in(), BUILT_IN, parity_set.digest()
    else:
        try:
            (queries, digest), name = _read(file), file.name
        except FileInvalid as error:
            raise ExportFailed(str(error)) from error
        except OSError as error:
            raise ExportFailed(f"--parity {file} cannot be read: {error.strerror}") from error
    return ParitySet(name=name, digest=digest, of=len(queries), queries=queries[:most])


def _built_in() -> tuple[Query, ...]:
    return tuple(Query(query.text, query.documents) for query in parity_set.queries())


def _read(file: Path) -> tuple[tuple[Query, ...], str]:
    """Return the queries of a file, and its sha256. The file is read once: it may be a pipe."""
    opened = DigestedFile(file)
    lines = read_objects(file, _Line, io.BufferedReader(opened))
    queries = tuple(Query(line.query, _distinct(line.documents, place)) for place, line in lines)
    if not queries:
        raise FileInvalid(f"{file}: the file has no query")
    return queries, opened.digest


def _distinct(documents: Sequence[str], place: str) -> tuple[str, ...]:
    """Keep each text once: the order of equal texts depends on the last bits of their logits."""
    once = tuple(dict.fromkeys(documents))
    if len(once) < 2:
        raise FileInvalid(f"{place}: documents: all texts are equal; at least two different ones are needed to rank")
    return once


def encode_fitting(parity_set: ParitySet, tokenizer: PairTokenizer) -> tuple[ParitySet, list[list[EncodedPair]]]:
    """Return the set without queries that are too long for the model's window, and the encoded pairs of each query.

    Raises:
        ExportFailed: no query fits.
    """
    kept: list[Query] = []
    encoded: list[list[EncodedPair]] = []
    for query in parity_set.queries:
        try:
            encoded.append(encode_query(query, tokenizer))
        except InvalidRequest:
            continue
        kept.append(query)
    if not kept:
        raise ExportFailed(
            f"no query of the parity set fits the model's window of {counted(tokenizer.max_tokens, 'token')}: "
            "set --parity to a file with shorter queries"
        )
    fitting = ParitySet(name=parity_set.name, digest=parity_set.digest, of=parity_set.of, queries=tuple(kept))
    return fitting, encoded


def left_out_line(whole: ParitySet, fitting: ParitySet, max_tokens: int) -> str:
    """Return a line about the queries that `encode_fitting` left out; empty if it kept all."""
    count = len(whole.queries) - len(fitting.queries)
    if not count:
        return ""
    left_out, does_not = ("is left out", "it does not") if count == 1 else ("are left out", "they do not")
    return (
        f"parity set: {count} of {counted(len(whole.queries), 'query')} {left_out}, because {does_not} fit the model's "
        f"window of {counted(max_tokens, 'token')}; the gate compares the other {len(fitting.queries)}"
    )


def encode_query(query: Query, tokenizer: PairTokenizer, *, document_tokens: int | None = None) -> list[EncodedPair]:
    """Encode a query's pairs, with at most `document_tokens` tokens of each document.

    Raises:
        InvalidRequest: the query leaves no room for a document.
    """
    head = tokenizer.encode_query(query.text)
    return tokenizer.encode_documents(head, query.documents, max_tokens_per_doc=document_tokens)

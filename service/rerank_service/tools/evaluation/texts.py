"""Texts by id: queries, and of a corpus what is needed of it. TSV (`id<TAB>text`) or JSONL, as its name ends."""

from collections.abc import Collection as Ids
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from rerank_service.errors import FileInvalid
from rerank_service.tools.input_files import columns, objects


class _Line(BaseModel):
    """Under the names that BEIR, Anserini and MS MARCO have."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)] = Field(
        validation_alias=AliasChoices("_id", "id", "qid", "docid", "pid")
    )
    text: str = Field(validation_alias=AliasChoices("text", "contents", "query", "passage", "body"))
    title: str | None = None


def read_texts(path: Path, wanted: Ids[str]) -> dict[str, str]:
    """Return the texts of the ids wanted, as far as the file has them; a title stands before its text.

    Raises:
        FileInvalid: a line is of another form, or no text is there, so it is another collection's file.
        OSError: it cannot be read.
    """
    found = {one: text for one, text in _all(path) if one in wanted}
    if wanted and not found:
        raise FileInvalid(f"{path}: has no text of id {next(iter(wanted))}, nor of any other that is needed")
    return found


def _all(path: Path) -> Iterator[tuple[str, str]]:
    match path.name.removesuffix(".gz").rpartition(".")[2]:
        case "jsonl" | "json":
            for _, line in objects(path, _Line):
                yield line.id, f"{line.title} {line.text}".strip() if line.title else line.text
        case "tsv":
            for _, (one, text) in columns(path, 2, separator=b"\t"):
                yield one, text
        case _:
            raise FileInvalid(f"{path}: texts are read from .jsonl or .tsv, plain or .gz")

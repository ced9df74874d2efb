"""Texts by id, of queries or of a corpus: TSV (`id<TAB>text`) or JSONL, by the ending of the file name."""

from collections.abc import Collection as Ids
from collections.abc import Iterator
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from rerank_service.error_text import excerpt
from rerank_service.errors import FileInvalid
from rerank_service.tools.input_files import RowId, read_columns, read_objects


class _Line(BaseModel):
    """A text, under the field names of BEIR, Anserini and MS MARCO."""

    model_config = ConfigDict(frozen=True)

    # a passage of MS MARCO v2 has its own id as pid, and that of its document as docid
    id: RowId = Field(validation_alias=AliasChoices("_id", "id", "qid", "pid", "docid"))
    text: str = Field(validation_alias=AliasChoices("text", "contents", "query", "passage", "body"))
    title: str | None = None


def read_texts(path: Path, wanted: Ids[str]) -> dict[str, str]:
    """Return the texts of the wanted ids that the file has. A title is put before its text, with a space between. A
    line may be repeated.

    Raises:
        FileInvalid: a line has another form, a wanted id has two texts, or the file has none of the wanted ids.
        OSError: the file cannot be read.
    """
    texts: dict[str, str] = {}
    for place, text_id, text in _read_all(path):
        if text_id in wanted and texts.setdefault(text_id, text) != text:
            raise FileInvalid(
                f"{place}: id {excerpt(text_id)} has another text in a line before: give each text an id of its own"
            )
    if wanted and not texts:
        raise FileInvalid(
            f"{path}: none of the {len(wanted)} ids that the other files refer to is here, such as "
            f"{next(iter(wanted))}; check that the files belong together"
        )
    return texts


def _read_all(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, the id and the text of each line."""
    match path.name.removesuffix(".gz").rpartition(".")[2]:
        case "jsonl" | "json":
            for place, line in read_objects(path, _Line):
                yield place, line.id, f"{line.title} {line.text}".strip() if line.title else line.text
        case "tsv":
            for place, (text_id, text) in read_columns(path, 2, separator=b"\t"):
                yield place, text_id, text
        case _:
            raise FileInvalid(f"{path}: the name of a text file must end in .jsonl or .tsv, plain or .gz")

"""Rankings for programs: lines of JSON, and TSV."""

import json
from collections.abc import Iterator, Sequence

from rerank.v1 import rerank_pb2 as pb
from rerank_service.tools.documents_file import FileDocument
from rerank_service.tools.tables.escaped_tsv import COLUMNS, row


def json_lines(documents: Sequence[FileDocument], response: pb.RerankResponse) -> Iterator[str]:
    """Yield each result as a JSON object, best first."""
    for result in response.results:
        yield json.dumps(_fields(result, documents[result.index]), ensure_ascii=False)


def tsv_lines(documents: Sequence[FileDocument], response: pb.RerankResponse) -> Iterator[str]:
    """Yield a header and each result, best first, in the form of escaped_tsv.py."""
    yield row(COLUMNS)
    for rank, result in enumerate(response.results, 1):
        fields = {"rank": rank, **_fields(result, documents[result.index])}
        window = fields.get("best_window", {"start": "", "end": ""})
        assert isinstance(window, dict)
        fields |= {**window, "document": documents[result.index].text}
        yield row(_cell(fields.get(name, "")) for name in COLUMNS)


def _fields(result: pb.Result, document: FileDocument) -> dict[str, object]:
    fields: dict[str, object] = {"index": result.index}
    if document.id is not None:
        fields["id"] = document.id
    fields |= {"relevance_score": result.relevance_score, "document": document.content}
    if result.HasField("best_window"):
        fields["best_window"] = {"start": result.best_window.start, "end": result.best_window.end}
    return fields | {"windows": result.windows, "truncated": result.truncated}


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

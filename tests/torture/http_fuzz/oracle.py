"""Judge the outcomes of HTTP inputs."""

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import brotli
from pydantic import TypeAdapter, ValidationError

from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.http.errors import ErrorBody
from torture.http_fuzz.case import HttpCase
from torture.http_fuzz.paths import FuzzedPath, all_paths, field_names
from torture.http_fuzz.responses import Response, ResponseReader
from torture.part import Outcome
from torture.wire import Received

_STATUSES = {200, 204, 304, 307, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 501, 503, 504, 505}
"""Statuses that an answer may have, whatever was sent. 500 and 424 are failures: no input makes the model fail."""
_BUSY = {429, 503, 504}
_REJECTED = (b"HTTP/1.1 4", b'{"message":"This is not a valid HTTP request')
"""Bytes after the last request may get an error of their own. The method of a malformed HEAD request is not known, so
its error has a body."""
_MAX_ERROR_BYTES = 8192
_SCORES = ("relevance_score", "score", "logit", "relevanceScore")
_PARTS_OF_A_REQUEST = {"body", "Content-Encoding", "X-Request-Timeout", "model"}
_CODINGS = {"gzip": gzip.decompress, "br": brotli.decompress}


def judge(case: HttpCase, received: Received, reader: ResponseReader) -> Outcome:
    """Return the outcome of an input."""
    reader.close()
    kind = " ".join(str(response.status) for response in reader.responses)[:40] or "closed without an answer"
    if len(reader.responses) > 1:
        kind = "pipelined"
    problem = next(_problems(case, received, reader), "")
    return Outcome(kind, problem, case.as_json() if problem else None)


def _problems(case: HttpCase, received: Received, reader: ResponseReader) -> Iterator[str]:
    if reader.malformed:
        yield reader.malformed
    if not received.closed:
        yield "the server neither answered nor closed the connection in time"
    if reader.extra and not reader.extra.startswith(_REJECTED):
        yield f"the server answered more requests than were sent: {reader.extra[:100]!r}"
    if case.must_answer and len(reader.responses) < len(case.requests) and not received.unsent:
        yield f"the server answered {len(reader.responses)} of {len(case.requests)} requests"
    for (method, path), response in zip(case.requests, reader.responses, strict=False):
        yield from _problems_of(case, method, path, response)


def _problems_of(case: HttpCase, method: str, path: str, response: Response) -> Iterator[str]:
    status = response.status
    if status not in _STATUSES:
        yield f"the status is {status}: {response.body[:300]!r}"
    if case.kind == "plain" and status != 200 and status not in _BUSY:
        yield f"a valid request got {status}: {response.body[:300]!r}"
    if method == "HEAD" or status in (204, 304, 307):
        return
    content = _content(response)
    if status >= 400:
        yield from _error_problems(case, path, response, content)
    elif method == "POST" and _path(path).dialects:
        yield from _ranking_problems(case, path, content)


def _content(response: Response) -> Any:
    """Return the JSON of a response; None if it is none."""
    decode = _CODINGS.get(response.headers.get("content-encoding", ""), bytes)
    try:
        return json.loads(decode(response.body))
    except (ValueError, OSError, brotli.error):
        return None


@cache
def _path(path: str) -> FuzzedPath:
    return next((each for each in all_paths() if each.path == path), FuzzedPath(path, (), ()))


def _error_problems(case: HttpCase, path: str, response: Response, content: Any) -> Iterator[str]:
    if not any(_valid(kind, content) for kind in _error_types(path, response.status)):
        yield f"the error {response.status} has the form of no dialect of {path}: {response.body[:300]!r}"
    if len(response.body) > _MAX_ERROR_BYTES:
        yield f"the error {response.status} has {len(response.body)} bytes: {response.body[:300]!r}"
    if case.kind == "object" and response.status in (400, 422):
        names = _names(path)
        message = response.body.decode(errors="replace")
        if not any(name in message for name in names):
            yield f"the error names no field: {message[:300]}"


@cache
def _names(path: str) -> set[str]:
    return field_names(_path(path).dialects) | _PARTS_OF_A_REQUEST


@cache
def _error_types(path: str, status: int) -> tuple[TypeAdapter[Any], ...]:
    kinds: list[Any] = [ErrorBody]
    for dialect in _path(path).dialects if path else all_dialects():  # a path of any form may be that of a dialect
        declared = dialect.error_types.get(status)
        kinds += [declared] if declared is not None else dialect.error_types.values()
    return tuple(TypeAdapter(kind) for kind in kinds)


def _valid(adapter: TypeAdapter[Any], content: Any) -> bool:
    try:
        adapter.validate_python(content)
    except ValidationError:
        return False
    return True


@cache
def _response_types(path: str) -> tuple[TypeAdapter[Any], ...]:
    return tuple(TypeAdapter(dialect.response_type) for dialect in _path(path).dialects)


def _ranking_problems(case: HttpCase, path: str, content: Any) -> Iterator[str]:
    if not any(_valid(kind, content) for kind in _response_types(path)):
        yield f"the response has the form of no dialect of {path}: {json.dumps(content)[:300]}"
    for results in _rankings(content):
        yield from _order_problems(case, results)


def _rankings(content: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield each list of results with an index and a score."""
    waiting = [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list) and part and all(isinstance(each, dict) and "index" in each for each in part):
            yield part
        elif isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part


def _order_problems(case: HttpCase, results: Sequence[dict[str, Any]]) -> Iterator[str]:
    name = next((name for name in _SCORES if name in results[0]), None)
    indexes = [result["index"] for result in results]
    scores: list[Any] = [result.get(name or "") for result in results]
    if name is None or not all(isinstance(score, float | int) and math.isfinite(score) for score in scores):
        yield f"a score is missing or not finite: {results[:3]}"
        return
    if len(set(indexes)) < len(indexes) or (case.documents is not None and max(indexes) >= case.documents):
        yield f"the indexes are not those of {case.documents} documents: {indexes[:20]}"
    if scores != sorted(scores, reverse=True) and indexes != sorted(indexes):
        yield f"the results are neither in the order of their scores nor of the request: {results[:5]}"

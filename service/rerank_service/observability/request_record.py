"""The record of a finished request: one value, from which log line, metrics and spans are made.

Rule: gRPC and REST build the record where a request ends (`api/request_observation.py`). The flow of a request knows
neither log, metrics nor traces.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from rerank_service.errors import InferenceFailed, RequestError

OTHER = "other"
"""Route of a request whose path or method is not served. Names that callers invent must not become names of series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The reason why a request has no result."""

    kind: str
    """`RequestError.kind`, for metrics."""
    reason: str
    """`RequestError.reason`: more exact than the kind, for the log."""
    message: str = ""
    field: str | None = None
    """Field of the request that is wrong."""
    cause: BaseException | None = None
    """The error of the model. Other causes are left out, because they may quote texts of a caller."""
    unexpected: BaseException | None = None
    """An exception that no request should cause."""


def failure_of(error: Exception) -> Failure:
    """Return the failure for the error that ended a request."""
    if not isinstance(error, RequestError):
        return Failure(kind=RequestError.kind, reason=RequestError.reason, unexpected=error)
    return Failure(
        kind=error.kind,
        reason=error.reason,
        message=str(error),
        field=error.field,
        cause=error.__cause__ if isinstance(error, InferenceFailed) else None,
    )


@dataclass(frozen=True, slots=True)
class RankedText:
    """A result of a request whose texts are kept."""

    index: int
    id: str | None
    """The caller's name for the document."""
    score: float


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a request, each cut. Only with `--log-texts` or `--trace-texts`."""

    query: str
    documents: Sequence[str]
    results: Sequence[RankedText] = ()
    """The first results. Empty: the request has no ranking, or several."""


class Stage(NamedTuple):
    """A part of a request's time, for traces."""

    name: str
    began: float
    """In seconds on the clock of the event loop."""
    ended: float
    seconds: float
    """Seconds of work in this time. A stream waits between its parts."""
    failed: bool = False
    """True if the request was rejected in this stage."""


def no_headers() -> Iterable[tuple[str, str]]:
    """Return no headers."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """A finished request."""

    id: str
    """The request id."""
    protocol: Literal["grpc", "rest"]
    method: str
    """HTTP method; `POST` for gRPC."""
    call: str
    """HTTP path, or full name of the gRPC method, as the client sent it; of an unknown one the beginning."""
    route: str
    """Template of the HTTP path, or full name of the gRPC method. `OTHER`: not served."""
    client: str
    """IP address of the client; empty for a Unix socket."""
    status: int | str
    """HTTP status, or name of the gRPC status."""
    seconds: float
    """Time from the arrival to the end."""
    ended: float = 0.0
    """Time of the end, in seconds on the clock of the event loop."""
    scheme: str = "http"
    """`http` or `https`. Not known for gRPC."""
    dialect: str = ""
    """JSON format of the body, or package of the gRPC service. Empty: unknown."""
    model: str = ""
    """Name of the model that scored. Empty: the request was rejected, or is not a ranking."""
    asked_model: str = ""
    """Name of the model that the client asked for, at most 100 characters. Empty: none."""
    top_n: int | None = None
    """Number of results that the client asked for. None: all."""
    highlights: int | None = None
    """Number of highlights per result that the client asked for. None: none."""
    is_ranking: bool = False
    """True if the request reached admission."""
    key: str = ""
    """Name of the API key. Empty: no key, or a key without a name."""
    documents: int = 0
    """Number of documents received."""
    ranked: bool = False
    """True if admission accepted the request. The following fields are then its work; otherwise all are 0."""
    tokens: int = 0
    """Tokens of all pairs that ran, without padding."""
    queue: float = 0.0
    """Seconds from the first queued pair to the start of the first batch."""
    tokenize: float = 0.0
    """Seconds of reading and tokenizing."""
    inference: float = 0.0
    """Seconds from the start of the first batch to the end of the last one."""
    forecast_error: float | None = None
    """Seconds that the request took beyond the forecast of admission; negative if it was faster. None: no forecast."""
    received_bytes: int = 0
    """Size of all messages from a gRPC client, decompressed."""
    sent_bytes: int = 0
    """Size of all messages to a gRPC client, before compression."""
    failure: Failure | None = None
    texts: Texts | None = field(default=None, repr=False)
    stages: Sequence[Stage] = ()
    """The parts of the request's time. Empty without traces."""
    headers: Callable[[], Iterable[tuple[str, str]]] = field(default=no_headers, repr=False)
    """Return the headers of the request, with names in lower case. They contain API keys: only traces read them, for
    the context that the client sent."""
    trace_id: str = ""
    """Id of the trace, 32 hexadecimal digits. Empty without traces."""
    span_id: str = ""
    """Id of the span of the request, 16 hexadecimal digits. Empty without traces."""

    @property
    def is_error(self) -> bool:
        """True if the client got an error, or was gone."""
        return self.status != "OK" if isinstance(self.status, str) else self.status >= 400


class RequestObserver(Protocol):
    """Receives requests. Called on the event loop, so it must be fast."""

    def call_started(self, method: str) -> None:
        """Receive the route of a gRPC call that begins."""

    def request_finished(self, record: RequestRecord) -> None:
        """Receive a request that has ended."""


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: RequestObserver) -> None:
        self._observers = observers

    def call_started(self, method: str) -> None:
        """Pass the beginning of a call on."""
        for observer in self._observers:
            observer.call_started(method)

    def request_finished(self, record: RequestRecord) -> None:
        """Pass the end of a request on."""
        for observer in self._observers:
            observer.request_finished(record)

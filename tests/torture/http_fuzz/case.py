"""One input of part http: the bytes that a client sends, and the facts that the oracle needs."""

from dataclasses import dataclass
from typing import Literal

from torture.part import Case
from torture.wire import Step, step_of

Kind = Literal["plain", "object", "any"]
"""`plain`: the server must accept the request. `object`: its body is a JSON object with fields of the dialect, so an
error names a field. `any`: anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCase:
    """An input."""

    title: str
    steps: tuple[Step, ...]
    requests: tuple[tuple[str, str], ...]
    """Method and path of each request, in order. The path is that of the application, with its placeholder."""
    kind: Kind = "any"
    must_answer: bool = True
    """False: the server may close the connection without an answer, since the bytes are no HTTP, or end too early."""
    documents: int | None = None
    """Number of documents of a plain request."""
    until_closed: bool = False
    """Read until the server closes, to see whether it answers more requests than were sent."""

    def as_json(self) -> Case:
        """Return the input as it is kept in a file."""
        return {
            "title": self.title,
            "steps": [step.as_json() for step in self.steps],
            "requests": [list(request) for request in self.requests],
            "kind": self.kind,
            "must_answer": self.must_answer,
            "documents": self.documents,
            "until_closed": self.until_closed,
        }


def case_of(content: Case) -> HttpCase:
    """Return the input of `HttpCase.as_json`."""
    steps = tuple(map(step_of, content["steps"]))
    requests = tuple((method, path) for method, path in content["requests"])
    return HttpCase(**{**content, "steps": steps, "requests": requests})

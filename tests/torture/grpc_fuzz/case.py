"""One input of the parts grpc and admin: a call with its messages."""

from dataclasses import dataclass
from typing import Any

from torture.part import Case
from torture.wire import Step, step_of

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of the client, and the pause after it."""

    data: bytes
    times: int = 1
    pause: float = 0.0
    """Seconds to wait after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCase:
    """A call."""

    title: str
    path: str
    messages: tuple[Sent, ...] = ()
    closes: bool = True
    """The client ends its side after the messages. False: it cancels the call after the pauses instead."""
    cancel_after: int | None = None
    """Number of messages after which the client cancels. None: it does not."""
    timeout: float | None = 20.0
    """Deadline in seconds."""
    metadata: Metadata = ()
    coding: int = 0
    """Compression of the client: 0 none, 1 deflate, 2 gzip."""
    plain: bool = False
    """The server must accept the call."""

    def as_json(self) -> Case:
        """Return the input as it is kept in a file."""
        return {
            "call": self.path,
            "title": self.title,
            "messages": [_sent_as_json(sent) for sent in self.messages],
            "closes": self.closes,
            "cancel_after": self.cancel_after,
            "timeout": self.timeout,
            "metadata": [[name, _text(value), isinstance(value, bytes)] for name, value in self.metadata],
            "coding": self.coding,
            "plain": self.plain,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesCase:
    """Bytes on a connection of their own."""

    title: str
    steps: tuple[Step, ...]
    by_library: bool = False
    """gRPC's core answers before the server's own code: its status is UNKNOWN or INTERNAL by its own rules."""
    calls: str = ""
    """Method of a valid call, which a server that has the method must accept; empty if the frames may be wrong."""

    def as_json(self) -> Case:
        """Return the input as it is kept in a file."""
        return {
            "frames": [step.as_json() for step in self.steps],
            "title": self.title,
            "by_library": self.by_library,
            "calls": self.calls,
        }


def case_of(content: Case) -> CallCase | FramesCase:
    """Return the input of `as_json`."""
    if "frames" in content:
        steps = tuple(map(step_of, content["frames"]))
        calls = content.get("calls", "")  # older files lack it
        return FramesCase(title=content["title"], steps=steps, by_library=content["by_library"], calls=calls)
    messages = tuple(Sent(**{**sent, "data": sent["data"].encode("latin-1")}) for sent in content["messages"])
    metadata = tuple((name, _value(text, binary=binary)) for name, text, binary in content["metadata"])
    others = {name: content[name] for name in ("title", "closes", "cancel_after", "timeout", "coding", "plain")}
    return CallCase(path=content["call"], messages=messages, metadata=metadata, **others)


def _sent_as_json(sent: Sent) -> dict[str, Any]:
    return {"data": sent.data.decode("latin-1"), "times": sent.times, "pause": sent.pause}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _value(text: str, *, binary: bool) -> str | bytes:
    return text.encode("latin-1") if binary else text

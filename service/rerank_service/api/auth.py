"""API keys: check the key of a request, and return its caller."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from rerank_service.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of an API key."""

    name: str = ""
    """Name of the key in the log. Empty for a key without a name, and if the server requires no key."""
    weight: float = 1.0
    """Share of the lanes that each request of the caller gets, relative to a request of weight 1."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that the server accepts. Only its digest is kept."""

    digest: bytes = field(repr=False)
    """SHA-256 of the key, 32 bytes."""
    caller: Caller = field(default_factory=Caller)


class Keys:
    """The keys that the server accepts. Without any, every request is accepted."""

    def __init__(self, keys: Sequence[str] = (), known: Sequence[KnownKey] = ()) -> None:
        """`keys` have no name and weight 1. A key that is also in `known` gets the name and weight from there."""
        self._known = [*known, *(KnownKey(digest(key)) for key in keys)]

    @property
    def required(self) -> bool:
        """True if requests must have a key."""
        return bool(self._known)

    def check(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller whose key is in the headers (or the gRPC metadata). Their names are in lower case.

        Accepted forms, each of which some client sends: `authorization: Bearer KEY` (the scheme in any case, or
        absent), `x-api-key: KEY` and `api-key: KEY`.

        Raises:
            Unauthenticated: the server requires a key, and the headers have none that it accepts.
        """
        if not self.required:
            return Caller()
        plain = [headers.get(name, "").strip() for name in ("x-api-key", "api-key")]
        sent = [_bearer(headers.get("authorization", "")), *plain]
        for key in filter(None, sent):
            if callers := self._holders(key):
                return callers[0]
        raise Unauthenticated(
            "invalid API key: send one of the server's keys as `Authorization: Bearer KEY`"
            if any(sent)
            else "no API key: send `Authorization: Bearer KEY`"
        )

    def _holders(self, key: str) -> list[Caller]:
        # constant time: every key is compared, and all digests have the same length
        sent = digest(key)
        return [known.caller for known in self._known if hmac.compare_digest(sent, known.digest)]


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    return sha256(key.encode()).digest()


def _bearer(header: str) -> str:
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else header.strip()

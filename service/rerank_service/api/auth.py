"""Whether a caller's key is one of ours, and what share of the lanes comes with it."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from rerank_service.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as the key tells."""

    name: str = ""
    """What the key is called in the log; empty for one without a name, and where no key is asked for."""
    weight: float = 1.0
    """The share of the lanes that each of the caller's requests gets, beside requests of weight 1."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that lets a caller in; of the key itself only the digest is kept."""

    digest: bytes = field(repr=False)
    """sha256 of the key."""
    caller: Caller = field(default_factory=Caller)


class Keys:
    """The keys that let callers in; none lets everyone in."""

    def __init__(self, keys: Sequence[str] = (), known: Sequence[KnownKey] = ()) -> None:
        """`keys` are without name or weight; one that is among the `known` too has theirs."""
        self._known = [*known, *(KnownKey(digest(key)) for key in keys)]

    @property
    def asked(self) -> bool:
        """Whether callers need one."""
        return bool(self._known)

    def check(self, headers: Mapping[str, str]) -> Caller:
        """Look for a key in headers (or gRPC metadata) with lower-case names.

        `authorization: Bearer KEY` with the scheme in any case or left out, `x-api-key: KEY` or `api-key: KEY`: all
        are sent by clients that exist.

        Raises:
            Unauthenticated: there are keys, and the caller has none of them.
        """
        if not self.asked:
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
        # every key is compared, and digests are all of one length, so that the time taken tells nothing
        sent = digest(key)
        return [known.caller for known in self._known if hmac.compare_digest(sent, known.digest)]


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return sha256(key.encode()).digest()


def _bearer(header: str) -> str:
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else header.strip()

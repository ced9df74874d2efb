"""API keys: check the key of a request, and return its caller."""

import hmac
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

from rerank_service.errors import Unauthenticated
from rerank_service.scheduling.caller import ANYBODY, Caller
from rerank_service.scheduling.quota import KeyLimits, Quota

_KEY_HEADERS = ("x-api-key", "api-key", "x-amz-security-token")
"""Headers that have a key and nothing else. The last is the session token of AWS SDKs, which is a secret there too."""
_KEY_SCHEMES = ("bearer", "zenapikey")
"""Schemes of the header `authorization` whose credentials are the key. `ZenApiKey` is that of IBM watsonx.ai."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that the server accepts. Only its digest is kept."""

    digest: bytes = field(repr=False)
    """SHA-256 of the key, 32 bytes."""
    caller: Caller = field(default_factory=Caller)
    limits: KeyLimits = field(default_factory=KeyLimits)
    expires: datetime | None = None
    """The time from which the key is rejected. None: never."""


def _unchanged() -> None:
    """Return None: the keys never change."""


def _now() -> datetime:
    return datetime.now(UTC)


class Keys:
    """The keys that the server accepts. Without any, every request is accepted. Used on the event loop only."""

    def __init__(
        self,
        keys: Sequence[str] = (),
        known: Sequence[KnownKey] = (),
        *,
        changed: Callable[[], Sequence[KnownKey] | None] = _unchanged,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """Accept these keys.

        Args:
            keys: keys without name and limits, of weight 1. They never change.
            known: keys with names. A key that is also in `keys` has the name and the limits from here.
            changed: called at each check. Returns the keys in place of `known` if they changed, else None.
            now: the clock by which keys expire.
        """
        self._plain = [KnownKey(digest(key)) for key in keys]
        self._changed = changed
        self._now = now
        self._quotas: dict[str, Quota] = {}
        self._known = self._with_quotas(known)

    @property
    def required(self) -> bool:
        """True if requests must have a key."""
        return bool(self._known)

    @property
    def has_admin(self) -> bool:
        """True if a key may change the server."""
        return any(key.caller.admin for key in self._known)

    def names(self) -> frozenset[str]:
        """Return the names of all keys, after a reload. A key without a name has none."""
        self.reload()
        return frozenset(key.caller.name for key in self._known if key.caller.name)

    def reload(self) -> None:
        """Use the new keys if they changed. Each check does so first."""
        if (known := self._changed()) is not None:
            self._known = self._with_quotas(known)

    def check(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller whose key is in the headers (or the gRPC metadata). Their names are in lower case.

        Accepted forms, each of which some client sends: `authorization: Bearer KEY` (the scheme in any case, or
        absent, or `ZenApiKey`), `authorization: Basic` with the key as password, `x-api-key: KEY`, `api-key: KEY` and
        `x-amz-security-token: KEY`. An AWS signature is not a key (docs/decisions/0046-engines-as-clients.md).

        Raises:
            Unauthenticated: the server requires a key, and the headers have none that it accepts.
        """
        self.reload()
        if not self.required:
            return ANYBODY
        authorization = headers.get("authorization", "").strip()
        sent = [_authorization_key(authorization), *(headers.get(name, "").strip() for name in _KEY_HEADERS)]
        found = [holders[0] for key in filter(None, sent) if (holders := self._holders(key))]
        now = self._now()
        for key in found:
            if key.expires is None or now < key.expires:
                return key.caller
        raise _refusal(found, any_sent=any(sent), signed=_is_signature(authorization))

    def _holders(self, key: str) -> list[KnownKey]:
        # constant time: every key is compared, and all digests have the same length
        sent = digest(key)
        return [known for known in self._known if hmac.compare_digest(sent, known.digest)]

    def _with_quotas(self, known: Iterable[KnownKey]) -> list[KnownKey]:
        """Return all keys with their counters. A name that had counters before keeps them."""
        named = []
        for key in known:
            quota = self._quotas.setdefault(key.caller.name, Quota())
            quota.change(key.limits)
            named.append(replace(key, caller=replace(key.caller, quota=quota)))
        return [*named, *self._plain]


def _refusal(found: Sequence[KnownKey], *, any_sent: bool, signed: bool) -> Unauthenticated:
    """Return the error for keys of which none is accepted. The holder of an expired key may know that it expired."""
    if found and (expires := found[0].expires):
        return Unauthenticated(
            f"the API key expired at {expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}: ask the operator of the server "
            "for a new one",
            reason="expired_api_key",
        )
    if signed:
        return Unauthenticated(
            "no valid API key: AWS signatures are not checked. Set one of the server's keys as the AWS session token "
            "(AWS_SESSION_TOKEN), or send it as `X-Api-Key`"
        )
    if any_sent:
        return Unauthenticated("invalid API key: send one of the server's keys as `Authorization: Bearer KEY`")
    return Unauthenticated("no API key: send `Authorization: Bearer KEY`")


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key."""
    return sha256(key.encode()).digest()


def _authorization_key(header: str) -> str:
    """Return the key in the header `authorization`; "" if it has none."""
    scheme, _, rest = header.partition(" ")
    scheme, rest = scheme.lower(), rest.strip()
    if scheme == "basic":
        return _basic_password(rest)
    if _is_signature(header):
        return ""
    return rest if scheme in _KEY_SCHEMES else header


def _is_signature(header: str) -> bool:
    """Return whether the header `authorization` has an AWS signature: SigV4 or SigV4A."""
    return header.lower().startswith("aws4-")


def _basic_password(encoded: str) -> str:
    """Return the password of a basic authorization, or the user if the password is empty.

    Clients send it for a URL with a user, such as `http://any:KEY@host` or `http://KEY@host`.
    """
    try:
        user, colon, password = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return (password or user) if colon else ""

"""Whether a caller's key is one of ours."""

import hmac
from collections.abc import Mapping, Sequence

from rerank_service.errors import Unauthenticated


class Keys:
    """The keys that let callers in; none lets everyone in."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = [key.encode() for key in keys]

    def check(self, headers: Mapping[str, str]) -> None:
        """Look for a key in headers (or gRPC metadata) with lower-case names.

        `authorization: Bearer KEY` with the scheme in any case or left out, or `x-api-key: KEY`: all are sent by
        clients that exist.

        Raises:
            Unauthenticated: there are keys, and the caller has none of them.
        """
        sent = [_bearer(headers.get("authorization", "")), headers.get("x-api-key", "").strip()]
        if self._keys and not any(self._holds(key) for key in sent):
            raise Unauthenticated(
                "invalid API key: send one of the server's keys as `Authorization: Bearer KEY`"
                if any(sent)
                else "no API key: send `Authorization: Bearer KEY`"
            )

    def _holds(self, key: str) -> bool:
        # every key is compared, so that the time taken tells nothing
        return sum(hmac.compare_digest(key.encode(), known) for known in self._keys) > 0


def _bearer(header: str) -> str:
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else header.strip()

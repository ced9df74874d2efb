"""Request id: the name of a request in the log and in its response."""

import re
import uuid
from collections.abc import Mapping

REQUEST_ID = "x-request-id"
"""Name of the header and of the metadata."""
_VALID = re.compile(r"[!-~]{1,128}")
"""Printable ASCII without spaces: such an id is valid in a header, a log line and a URL."""


def request_id_from(headers: Mapping[str, str]) -> str:
    """Return the caller's `x-request-id`, or a new id if it is absent or invalid.

    A valid id has 1 to 128 printable ASCII characters without spaces. Header names are in lower case.
    """
    sent = headers.get(REQUEST_ID, "")
    return sent if _VALID.fullmatch(sent) else uuid.uuid4().hex

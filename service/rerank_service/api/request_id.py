"""What a request is called in logs and answers."""

import re
import uuid
from collections.abc import Mapping

_FIT = re.compile(r"[!-~]{1,128}")
"""Printable ASCII without blanks, so that it fits a header, a log line and a URL."""


def request_id_from(headers: Mapping[str, str]) -> str:
    """The caller's `x-request-id` where it is fit to be repeated, else a new one."""
    sent = headers.get("x-request-id", "")
    return sent if _FIT.fullmatch(sent) else uuid.uuid4().hex

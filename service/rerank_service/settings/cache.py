"""Settings of the score cache."""

from typing import ClassVar

from pydantic import ByteSize

from rerank_service.settings.field_types import Bytes
from rerank_service.settings.group import SettingsGroup


class CacheSettings(SettingsGroup):
    """Settings of the score cache."""

    heading: ClassVar[str] = "Score cache"

    score_cache_bytes: Bytes = ByteSize(0)
    """Memory for scores of earlier pairs, for each loaded model: a number of bytes, or a size such as 64MiB, which
    holds about 140,000 scores. With a cache, a pair that two requests need at the same time is computed once. 0: no
    cache."""

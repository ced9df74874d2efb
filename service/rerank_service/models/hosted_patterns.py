"""Patterns of hosted names: names of hosted rerankers that are newer than the list in hosted_names.py."""

import difflib
import fnmatch
import re
from collections.abc import Collection, Iterable

_MAX_CHARS = 200
"""Maximum length of a hosted name. It bounds the time of a comparison with a name that a caller sends."""
_TYPO = 0.85
"""Similarity from 0 to 1, as difflib computes it, from which on a name is taken for a typo of another name."""


class HostedPatterns:
    """Patterns such as `*rerank*[0-9]*`. They do not distinguish upper and lower case."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """`*` stands for any characters, `?` for one, `[0-9]` for one of these.

        Patterns are not regular expressions, so that no pattern needs exponential time for a name.
        """
        self._patterns = [re.compile(fnmatch.translate(pattern.lower())) for pattern in patterns]

    def accepts(self, name: str, served: Collection[str]) -> bool:
        """Return whether a name looks like that of a hosted model.

        A typo of a served name does not, so that its caller gets an error. Prefixes such as `BAAI/` are not compared.

        Args:
            name: the name in the request.
            served: all names of the served model.
        """
        if len(name) > _MAX_CHARS:
            return False
        name = name.lower()
        if not any(pattern.match(name) for pattern in self._patterns):
            return False
        base, bases = _without_prefix(name), {_without_prefix(other.lower()) for other in served}
        return base in bases or not difflib.get_close_matches(base, bases, n=1, cutoff=_TYPO)


def _without_prefix(name: str) -> str:
    return name.rpartition("/")[2]

"""The pair format of a tokenizer: the special tokens that it puts around and between the two texts of a pair.

Rule: the first special tokens of a pair (such as `<s>`) do not separate the texts, not even if they stand between them.
They only say that a text begins. docs/decisions/0025-no-unknown-prompt.md has the reasons.
"""

from dataclasses import dataclass

from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class PairFormat:
    """The special tokens of a pair, in front of the query and between query and document."""

    before: tuple[str, ...]
    between: tuple[str, ...]

    @property
    def separates(self) -> bool:
        """True if a token marks where the query ends, such as `[SEP]`."""
        return not set(self.between) <= set(self.before)

    def __str__(self) -> str:
        """Return the tokens between the texts, for messages: "nothing", or "only <s>"."""
        return f"only {' '.join(self.between)}" if self.between else "nothing"


def pair_format(tokenizer: Tokenizer) -> PairFormat | None:
    """Return the pair format of a tokenizer, read from an encoded pair. None: it does not place the query first."""
    example = tokenizer.encode("a", "b")
    query = [at for at, sequence in enumerate(example.sequence_ids) if sequence == 0]
    document = [at for at, sequence in enumerate(example.sequence_ids) if sequence == 1]
    if not query or not document or query[-1] > document[0]:
        return None
    return PairFormat(tuple(example.tokens[: query[0]]), tuple(example.tokens[query[-1] + 1 : document[0]]))

"""Bounds of the token limit and of the padding id that a model may have. They reject mistakes in its files."""

MIN_TOKENS = 8
"""Minimum token limit of a model: special tokens of a pair, up to 4, and some of the query and of the document."""
MAX_TOKENS = 2**20
"""Maximum token limit of a model. Tokenizers without a limit state a larger number, such as 1e30."""
MAX_PAD_ID = 2**31 - 1
"""Maximum token id of padding. The inputs of a graph may be int32."""

"""The `rerank` command line: its commands, and what they print."""

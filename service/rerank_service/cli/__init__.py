"""The `rerank` command line: its commands and their output."""

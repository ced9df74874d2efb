"""Formats of the files that `rerank batch` reads and writes: JSONL, CSV, TSV and Parquet."""

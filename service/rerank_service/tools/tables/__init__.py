"""Files of rows: lines of text, JSONL, CSV, TSV and Parquet. `rerank batch` and `rerank rank` read them."""

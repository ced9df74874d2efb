"""`rerank batch`: score files of queries and documents, part by part, so that a killed job continues where it ended."""

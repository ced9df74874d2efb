"""Changes of a running server, and its end: background work, hot swap, graceful shutdown."""

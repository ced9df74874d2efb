"""TLS of both servers."""

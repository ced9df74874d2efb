"""Observability of a running server: its log."""

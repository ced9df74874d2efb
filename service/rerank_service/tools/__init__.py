"""Offline and client-side use of the same parts: evaluation, calibration, load tests. Nothing here is imported by the server."""

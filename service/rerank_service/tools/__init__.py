"""Offline and client-side use of the same parts: evaluation, calibration, load tests. The server imports none of it."""

"""Runners: one file for each system that runs in its own process, with the Python of its own environment.

A peer's runner imports only `protocol` from this project, which needs only the standard library.
"""

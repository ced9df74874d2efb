"""Shared parts of the tests: small models, running servers, processes and commands."""

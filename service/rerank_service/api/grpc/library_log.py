"""Log lines of gRPC for Python that a client can cause at will, each with a traceback."""

import logging

_LOGGER = "grpc._cython.cygrpc"
_CAUSED_BY_CLIENTS = ("Invalid encoding", "ExecuteBatchError raised in core by servicer method")
"""Beginnings of the lines: metadata that is not UTF-8, with its value, which may be an API key; and a response that the
client did not wait for. Neither is an error of the server. gRPC decodes such metadata as latin-1."""


def hide_lines_caused_by_clients() -> None:
    """Drop these lines."""
    logging.getLogger(_LOGGER).addFilter(_is_not_caused_by_a_client)


def _is_not_caused_by_a_client(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_CAUSED_BY_CLIENTS)

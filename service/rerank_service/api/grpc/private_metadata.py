"""Metadata of calls stays out of the log."""

import logging

_LOGGER = "grpc._cython.cygrpc"
_INVALID = "Invalid encoding"


def _has_no_metadata(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_INVALID)


def keep_metadata_out_of_the_log() -> None:
    """Drop the log lines in which gRPC for Python quotes metadata that is not UTF-8: an API key, for example.

    Such metadata is no error. gRPC decodes it as latin-1.
    """
    logging.getLogger(_LOGGER).addFilter(_has_no_metadata)

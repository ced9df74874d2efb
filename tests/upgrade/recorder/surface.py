"""The surface that operators of 0.1.0 rely on: settings, command lines, paths of REST, and the gRPC contract."""

import argparse
import os
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from pydantic_core import to_jsonable_python

SAMPLES = {
    "model": "/models/mine",
    "model_name": "mine",
    "aliases": "one, two",
    "any_model": "true",
    "host": "0.0.0.0",
    "grpc_port": "50061",
    "rest_port": "8090",
    "max_connection_age": "300",
    "api_keys": "k1,k2",
    "provider": "cpu",
    "lanes": "3",
    "max_batch_tokens": "1024",
    "max_batch_pairs": "32",
    "length_multiple": "8",
    "max_documents": "100",
    "max_stream_documents": "1000",
    "max_live_documents": "5000",
    "max_live_tokens": "300000",
    "max_query_chars": "1000",
    "max_document_chars": "20000",
    "max_message_bytes": "4194304",
    "default_timeout": "12.5",
    "grace": "15",
    "drain_delay": "5",
    "log_format": "json",
    "log_level": "warning",
    "example": "true",
}
"""A value of each setting, as a variable has it."""

LINES = [
    ["serve"],
    ["serve", "--model", "out/mine", "--model-name", "mine", "--aliases", "a,b", "--any-model", "--no-example"],
    ["serve", "--host", "0.0.0.0", "--grpc-port=0", "--rest-port=0", "--api-keys", "k", "--log-format", "json"],
    ["rank", "query", "document", "another", "--server", "127.0.0.1:50051", "--api-key", "k", "--top-n", "1", "--json"],
    ["rank", "query", "--file", "documents.txt"],
    ["rank", "query", "document", "--model", "name"],
    ["models", "--server", "127.0.0.1:50051", "--api-key", "k"],
    ["export", "some/model", "--out", "out/mine", "--revision", "main", "--name", "mine"],
]
"""Command lines that 0.1.0 accepts."""


def settings() -> dict[str, Any]:
    """Return each setting with its default, and a value as text and as the server reads it."""
    from rerank_service.settings import Settings  # type: ignore[import-untyped, unused-ignore]

    assert SAMPLES.keys() == Settings.model_fields.keys()
    variables = {f"RERANK_{name.upper()}": value for name, value in SAMPLES.items()}
    os.environ.update(variables)
    try:
        read = Settings()
    finally:
        for name in variables:
            del os.environ[name]
    return {
        name: {"default": plain(field.default), "text": SAMPLES[name], "value": plain(getattr(read, name))}
        for name, field in Settings.model_fields.items()
    }


def plain(value: Any) -> Any:
    """Return a value of a setting as JSON, keys included."""
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return value.get_secret_value() if hasattr(value, "get_secret_value") else to_jsonable_python(value)


def command_options() -> dict[str, list[str]]:
    """Return the options of each command. All of LINES are accepted."""
    from rerank_service.__main__ import _commands  # type: ignore[attr-defined, unused-ignore]

    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    options: dict[str, list[str]] = {}
    for name, command in _commands().items():
        subparser = subparsers.add_parser(name)
        command.configure(subparser)
        options[name] = sorted(option for action in subparser._actions for option in action.option_strings)
    for line in LINES:
        parser.parse_args(line)
    return options


def rest_paths() -> list[list[str]]:
    """Return method and path of each route, those of the OpenAPI page included."""
    from rerank_service.api import rest  # type: ignore[attr-defined, unused-ignore]

    class NoParts:
        dialects = rest.all_dialects()

        def __getattr__(self, name: str) -> Any:
            return lambda: None

    app = rest.build_app(NoParts())
    routes = [(route.path, getattr(route, "methods", None) or ()) for route in app.routes]
    return sorted([method, path] for path, methods in routes for method in methods if method != "HEAD")


def descriptors() -> dict[str, Any]:
    """Return the descriptors of rerank.proto and of all that it imports, as JSON."""
    from rerank.v1 import rerank_pb2

    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        files[file.name] = file

    add(rerank_pb2.DESCRIPTOR)
    found = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(found.file.add())
    shown: dict[str, Any] = json_format.MessageToDict(found, preserving_proto_field_name=True)
    return shown

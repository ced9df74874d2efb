"""Print docs/reference/proto.md, generated from the comments of the contracts in proto/rerank/v1: `make docs`."""

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from grpc_tools import protoc

_PROTO = Path(__file__).parents[1] / "proto"
_FILES = ("rerank/v1/rerank.proto", "rerank/v1/admin.proto")
_INTRODUCTION = """# gRPC

Services, messages and enums of `rerank.v1`. This page is generated from the comments of
[`rerank.proto`](../../proto/rerank/v1/rerank.proto) and [`admin.proto`](../../proto/rerank/v1/admin.proto) by `make docs`.

Clients in Python, and how to call the services from other languages: [clients](../clients.md#grpc). The server also serves
[`tei.v1`](../clients.md#tei-services), [health](../clients.md) and reflection.
"""
# Numbers of fields in descriptor.proto, which make the paths of comments
_MESSAGE, _ENUM, _SERVICE, _SYNTAX = 4, 5, 6, 12
_FIELD, _NESTED, _NESTED_ENUM, _VALUE, _METHOD = 2, 3, 4, 2, 2
_Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """A contract with its comments by path."""

    proto: FileDescriptorProto
    comments: dict[_Place, str]
    header: str

    def cell(self, *path: int) -> str:
        """Return a comment as the text of a table's cell."""
        return _escaped(" ".join(self.comments.get(path, "").split())).replace("|", "\\|")

    def text(self, *path: int) -> str:
        """Return a comment as paragraphs."""
        return _escaped(self.comments.get(path, "").strip())


def page() -> str:
    """Return the page: a part for each contract."""
    return _INTRODUCTION + "\n".join("\n".join(_contract(file)) for file in _compiled())


def _compiled() -> Iterator[_File]:
    with tempfile.NamedTemporaryFile() as out:
        known = str(Path(protoc.__file__).parent / "_proto")
        options = ["--include_source_info", f"--descriptor_set_out={out.name}"]
        if protoc.main(["protoc", f"-I{_PROTO}", f"-I{known}", *options, *_FILES]) != 0:
            sys.exit("protoc failed: see the messages above")
        for proto in FileDescriptorSet.FromString(Path(out.name).read_bytes()).file:
            places = proto.source_code_info.location
            comments = {tuple(place.path): place.leading_comments or place.trailing_comments for place in places}
            header = next((place.leading_comments for place in places if list(place.path) == [_SYNTAX]), "")
            yield _File(proto, comments, header)


def _contract(file: _File) -> Iterator[str]:
    name = Path(file.proto.name).name
    yield f"\n## {name}\n\n```text\n{_without_margin(file.header)}\n```\n"
    for at, service in enumerate(file.proto.service):
        yield f"### Service {service.name}\n\n{file.text(_SERVICE, at)}\n"
        for number, method in enumerate(service.method):
            yield f"#### {service.name}.{method.name}\n\n`{_signature(method)}`\n"
            yield f"{file.text(_SERVICE, at, _METHOD, number)}\n"
    for at, message in enumerate(file.proto.message_type):
        yield from _message(file, message, message.name, (_MESSAGE, at))
    for at, enum in enumerate(file.proto.enum_type):
        yield from _enum(file, enum, enum.name, (_ENUM, at))


def _message(file: _File, message: DescriptorProto, name: str, path: _Place) -> Iterator[str]:
    """Return the section of a message, and those of the types in it."""
    yield f"### {name}\n\n{file.text(*path)}\n"
    if message.field:
        yield "| field | number | type | meaning |\n|---|---|---|---|"
        for at, field in enumerate(message.field):
            yield f"| `{field.name}` | {field.number} | {_type(field)} | {_meaning(file, message, at, path)} |"
        yield ""
    for at, nested in enumerate(message.nested_type):
        yield from _message(file, nested, f"{name}.{nested.name}", (*path, _NESTED, at))
    for at, enum in enumerate(message.enum_type):
        yield from _enum(file, enum, f"{name}.{enum.name}", (*path, _NESTED_ENUM, at))


def _meaning(file: _File, message: DescriptorProto, at: int, path: _Place) -> str:
    """Return the comment of a field. A field of a oneof names the other ones."""
    field = message.field[at]
    comment = file.cell(*path, _FIELD, at)
    if not field.HasField("oneof_index") or field.proto3_optional:
        return comment
    return f"{comment} (one of `{message.oneof_decl[field.oneof_index].name}`)"


def _enum(file: _File, enum: EnumDescriptorProto, name: str, path: _Place) -> Iterator[str]:
    yield f"### {name}\n\n{file.text(*path)}\n\n| value | number | meaning |\n|---|---|---|"
    for at, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {file.cell(*path, _VALUE, at)} |"
    yield ""


def _signature(method: MethodDescriptorProto) -> str:
    request = ("stream " if method.client_streaming else "") + _short(method.input_type)
    response = ("stream " if method.server_streaming else "") + _short(method.output_type)
    return f"{method.name}({request}) returns ({response})"


def _type(field: FieldDescriptorProto) -> str:
    if field.type_name:
        name = _short(field.type_name)
        shown = f"[`{name}`](#{name.lower().replace('.', '')})" if _own(field.type_name) else f"`{name}`"
    else:
        shown = f"`{FieldDescriptorProto.Type.Name(field.type).removeprefix('TYPE_').lower()}`"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {shown}"
    return f"optional {shown}" if field.proto3_optional else shown


def _own(name: str) -> bool:
    return name.startswith(".rerank.v1.")


def _short(name: str) -> str:
    return name.removeprefix(".rerank.v1.").removeprefix(".")


def _escaped(text: str) -> str:
    """Return a comment as Markdown: without the space after `//`, and with angle brackets as text."""
    return _without_margin(text).replace("<", "&lt;")


def _without_margin(text: str) -> str:
    return re.sub(r"^ ", "", text, flags=re.MULTILINE).strip("\n")


if __name__ == "__main__":
    print(page().rstrip())

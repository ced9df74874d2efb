"""The contract in proto/, and the changes that break its callers.

`make proto-baseline` writes the descriptors of today to tests/proto/baseline.json; later ones are compared with them.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from grpc_tools import protoc

FILES = ("rerank/v1/rerank.proto", "rerank/tei/tei.proto", "rerank/v1/admin.proto")
BASELINE = Path(__file__).parents[1] / "proto" / "baseline.json"
_PROTO = Path(__file__).parents[2] / "proto"

Key = tuple[str, int | None]
"""Name of a file, an option of a file, or the full name of a message, enum, service or method; with a number, of one of
its fields or values."""


@dataclass(frozen=True, slots=True)
class Contract:
    """The part of the descriptors that callers rely on."""

    elements: Mapping[Key, str]
    """Each element with all that must stay the same: name, type, label, oneof."""
    reserved: Mapping[str, Sequence[range]]
    """Numbers that a message or an enum never uses again."""
    reserved_names: Mapping[str, Sequence[str]]
    """Names that a message or an enum never uses again: JSON has names instead of numbers."""

    def may_lack(self, owner: str, number: int | None) -> bool:
        """Tell whether a number is reserved, or lacks because its owner does, which is reported by itself."""
        if number is None:
            return False
        return (owner, None) not in self.elements or any(number in numbers for numbers in self.reserved.get(owner, ()))


def compiled(files: Sequence[str] = FILES, *options: str) -> FileDescriptorSet:
    """Return the descriptors of .proto files, without those that they import."""
    include = Path(protoc.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        command = ["protoc", f"-I{_PROTO}", f"-I{include}", f"--descriptor_set_out={out}", *options, *files]
        assert protoc.main(command) == 0
        return FileDescriptorSet.FromString(out.read_bytes())


def read_baseline(path: Path = BASELINE) -> FileDescriptorSet:
    """Return the descriptors that were accepted last."""
    return json_format.Parse(path.read_text(), FileDescriptorSet())


def contract(files: FileDescriptorSet) -> Contract:
    """Return the contract of a set of files."""
    elements: dict[Key, str] = {}
    reserved: dict[str, Sequence[range]] = {}
    reserved_names: dict[str, Sequence[str]] = {}
    for file in files.file:
        elements |= _file(file)
        for service in file.service:
            owner = f"{file.package}.{service.name}"
            elements[owner, None] = "service"
            elements |= {(f"{owner}.{method.name}", None): _method(method) for method in service.method}
        for name, message in _messages(file.package, file.message_type):
            elements |= _message(name, message)
            reserved[name] = [range(one.start, one.end) for one in message.reserved_range]
            reserved_names[name] = list(message.reserved_name)
        for name, enum in _enums(file):
            elements |= _enum(name, enum)
            reserved[name] = [range(one.start, one.end + 1) for one in enum.reserved_range]
            reserved_names[name] = list(enum.reserved_name)
    return Contract(elements, reserved, reserved_names)


def breaking(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    """Return a line for each change that breaks callers of the contract before."""
    old, new = contract(before), contract(after)
    lines = []
    for (owner, number), was in old.elements.items():
        now = new.elements.get((owner, number))
        if now is not None and now != was:
            lines.append(f"{_shown(owner, number)} was `{was}` and is `{now}`: restore it, or add a new one beside it")
        elif now is None and not new.may_lack(owner, number):
            lines.append(_removal(new, owner, number, was))
    for owner, ranges in old.reserved.items():
        kept = new.reserved.get(owner, ranges)
        freed = [numbers for numbers in ranges if not any(numbers[0] in now and numbers[-1] in now for now in kept)]
        lines += [f"{owner}: `reserved {_written(numbers)};` was removed: restore it" for numbers in freed]
    for owner, names in old.reserved_names.items():
        free = sorted({*names} - {*new.reserved_names.get(owner, names)})
        lines += [f'{owner}: `reserved "{name}";` was removed: restore it' for name in free]
    return lines


def removed(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    """Return each element of the contract before that is gone, those whose numbers are reserved included."""
    old, new = contract(before), contract(after)
    return [f"{_shown(*key)}: `{was}`" for key, was in old.elements.items() if key not in new.elements]


def write_baseline(path: Path = BASELINE, describe: Callable[[], FileDescriptorSet] = compiled) -> list[str]:
    """Accept the contract of today, unless it breaks the one accepted before; return a line for each break."""
    today = describe()
    broken = breaking(read_baseline(path), today) if path.exists() else []
    if not broken:
        shown: dict[str, Any] = json_format.MessageToDict(today, preserving_proto_field_name=True)
        path.write_text(json.dumps(shown, indent=1) + "\n")
    return broken


def _removal(new: Contract, owner: str, number: int | None, was: str) -> str:
    if number is None:
        return f"{owner} ({was}) was removed: restore it"
    moved = [at for (other, at), now in new.elements.items() if other == owner and now == was]
    if moved:
        return f"{owner}: `{was}` had the number {number} and has {moved[0]}: a number never changes"
    return f"{owner}: `{was} = {number}` was removed: restore it, or write `reserved {number};` in its place"


def _written(numbers: range) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _shown(owner: str, number: int | None) -> str:
    return owner if number is None else f"{owner}, number {number},"


def _messages(scope: str, messages: Sequence[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    """Return all messages with their full names, nested ones too."""
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name, message
        yield from _messages(name, message.nested_type)


def _enums(file: FileDescriptorProto) -> Iterator[tuple[str, EnumDescriptorProto]]:
    """Return all enums with their full names, those in messages too."""
    scopes = [(file.package, file.enum_type)]
    scopes += [(name, message.enum_type) for name, message in _messages(file.package, file.message_type)]
    return ((f"{scope}.{enum.name}", enum) for scope, enums in scopes for enum in enums)


def _file(file: FileDescriptorProto) -> dict[Key, str]:
    """Return the file, which generated code is named by, and the options that name packages of other languages."""
    elements: dict[Key, str] = {(file.name, None): f"package {file.package}"}
    return elements | {
        (f"{file.name}, option {option.name}", None): str(value) for option, value in file.options.ListFields()
    }


def _message(name: str, message: DescriptorProto) -> dict[Key, str]:
    elements: dict[Key, str] = {(name, None): "message"}
    return elements | {(name, field.number): _field(field, message) for field in message.field}


def _field(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    label = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    label = "optional " if field.proto3_optional else label
    kind = field.type_name.lstrip(".") or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    in_oneof = field.HasField("oneof_index") and not field.proto3_optional
    oneof = f" in oneof {message.oneof_decl[field.oneof_index].name}" if in_oneof else ""
    return f"{label}{kind} {field.name}{oneof}"


def _enum(name: str, enum: EnumDescriptorProto) -> dict[Key, str]:
    elements: dict[Key, str] = {(name, None): "enum"}
    return elements | {(name, value.number): value.name for value in enum.value}


def _method(method: MethodDescriptorProto) -> str:
    takes, gives = ("stream " * method.client_streaming, "stream " * method.server_streaming)
    return f"rpc ({takes}{method.input_type.lstrip('.')}) returns ({gives}{method.output_type.lstrip('.')})"


if __name__ == "__main__":
    if broken := write_baseline():
        sys.exit("\n".join(["the change breaks callers, so the baseline was not written:", *broken]))

"""The contract only grows: no field, enum value or method is removed, renumbered or changed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from support.proto_contract import FILES, breaking, compiled, contract, read_baseline, removed, write_baseline
from upgrade.recorded import DESCRIPTORS

_ACCEPT = (
    "the contract has changed without breaking callers: run `make proto-baseline` and commit tests/proto/baseline.json"
)


def test_the_contract_has_no_breaking_change() -> None:
    """Compare proto/ with the baseline."""
    broken = breaking(read_baseline(), compiled())
    assert not broken, "the change breaks callers:\n" + "\n".join(broken)


def test_the_baseline_contains_the_whole_contract() -> None:
    """Otherwise a new field could be removed later without a failing test."""
    assert contract(read_baseline()) == contract(compiled()), _ACCEPT


def _released() -> FileDescriptorSet:
    """Return the descriptors of a released version, without files of others."""
    released = json_format.ParseDict(DESCRIPTORS, FileDescriptorSet())
    return FileDescriptorSet(file=[file for file in released.file if file.name in FILES])


def test_the_contract_keeps_all_of_a_release() -> None:
    """Nothing of a released version is changed or removed, also if its number is reserved: its callers use it."""
    released = _released()
    assert len(released.file) == 1
    assert breaking(released, compiled()) == []
    assert removed(released, compiled()) == []


def _message(file: FileDescriptorProto, name: str) -> DescriptorProto:
    return next(message for message in file.message_type if message.name == name)


def _field(file: FileDescriptorProto, message: str, name: str) -> FieldDescriptorProto:
    return next(field for field in _message(file, message).field if field.name == name)


def _remove(file: FileDescriptorProto, message: str, name: str) -> int:
    field = _field(file, message, name)
    number = field.number
    _message(file, message).field.remove(field)
    return number


def _renumber(file: FileDescriptorProto) -> None:
    _field(file, "RerankRequest", "top_n").number = 9999


def _rename(file: FileDescriptorProto) -> None:
    _field(file, "RerankRequest", "top_n").name = "most"


def _retype(file: FileDescriptorProto) -> None:
    _field(file, "RerankRequest", "query").type = FieldDescriptorProto.TYPE_BYTES


def _repeat(file: FileDescriptorProto) -> None:
    _field(file, "RerankRequest", "query").label = FieldDescriptorProto.LABEL_REPEATED


def _leave_oneof(file: FileDescriptorProto) -> None:
    _field(file, "Document", "text").ClearField("oneof_index")


def _remove_message(file: FileDescriptorProto) -> None:
    file.message_type.remove(_message(file, "Timing"))


def _remove_value(file: FileDescriptorProto) -> None:
    del file.enum_type[0].value[1]


def _remove_method(file: FileDescriptorProto) -> None:
    del file.service[0].method[1]


def _unary(file: FileDescriptorProto) -> None:
    file.service[0].method[1].server_streaming = False


def _move_file(file: FileDescriptorProto) -> None:
    file.name = "rerank/v2/rerank.proto"


def _rename_package_of_java(file: FileDescriptorProto) -> None:
    file.options.java_package = "com.example"


def _remove_package_of_go(file: FileDescriptorProto) -> None:
    file.options.ClearField("go_package")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: _remove(file, "RerankRequest", "top_n"), r"top_n = \d+` was removed: .*`reserved \d+;`"),
        (_renumber, r"top_n` had the number \d+ and has 9999"),
        (_rename, "top_n` and is `.* most`"),
        (_retype, "was `string query` and is `bytes query`"),
        (_repeat, "is `repeated string query`"),
        (_leave_oneof, "was `string text in oneof content` and is `string text`"),
        (_remove_message, r"rerank\.v1\.Timing \(message\) was removed"),
        (_remove_value, r"rerank\.v1\.ScoreType: `SCORE_TYPE_PROBABILITY = 1` was removed"),
        (_remove_method, r"rerank\.v1\.Rerank\.RerankStream .* was removed"),
        (_rename_package_of_java, r"option java_package was `io\..*` and is `com\.example`"),
        (_remove_package_of_go, r"option go_package \(.*\) was removed"),
        (_unary, r"returns \(stream .* and is .* returns \(rerank"),
    ],
)
def test_a_breaking_change_is_reported(change: Callable[[FileDescriptorProto], object], words: str) -> None:
    """One line names the change and how to repair it."""
    before, after = compiled(), compiled()
    change(after.file[0])
    (line,) = breaking(before, after)
    assert re.search(words, line), line


def test_the_number_of_a_removed_field_stays_reserved() -> None:
    """Otherwise a new field could get the number, and messages of old callers would be misread."""
    before, reserved, freed = compiled(), compiled(), compiled()
    number = _remove(reserved.file[0], "RerankRequest", "top_n")
    _message(reserved.file[0], "RerankRequest").reserved_range.add(start=number, end=number + 1)
    assert breaking(before, reserved) == []
    _remove(freed.file[0], "RerankRequest", "top_n")
    assert breaking(reserved, freed) == [f"rerank.v1.RerankRequest: `reserved {number};` was removed: restore it"]
    (line,) = removed(before, reserved)
    assert line.startswith("rerank.v1.RerankRequest, number ")


def test_a_reserved_name_stays_reserved() -> None:
    """JSON has names instead of numbers: an old caller would send another value by the name."""
    reserved = compiled()
    _message(reserved.file[0], "RerankRequest").reserved_name.append("old")
    assert breaking(compiled(), reserved) == []
    assert breaking(reserved, compiled()) == ['rerank.v1.RerankRequest: `reserved "old";` was removed: restore it']


def test_a_moved_file_is_reported() -> None:
    """Generated code is imported by the name of its file."""
    moved = compiled()
    _move_file(moved.file[0])
    assert breaking(compiled(), moved)[0] == ("rerank/v1/rerank.proto (package rerank.v1) was removed: restore it")


def test_a_breaking_contract_does_not_become_the_baseline(tmp_path: Path) -> None:
    """An addition is written. After a removal, the file stays unchanged."""
    path = tmp_path / "baseline.json"
    assert write_baseline(path) == []
    added: FileDescriptorSet = compiled()
    _message(added.file[0], "Timing").field.add(name="more", number=99, type=FieldDescriptorProto.TYPE_DOUBLE)
    assert write_baseline(path, lambda: added) == []
    assert contract(read_baseline(path)) == contract(added)
    assert len(write_baseline(path)) == 1
    assert contract(read_baseline(path)) == contract(added)

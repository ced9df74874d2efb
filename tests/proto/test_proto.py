"""The contract: every part of it is documented."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

_PROTO = Path(__file__).parents[2] / "proto"


@pytest.mark.parametrize("path", ["rerank/v1/rerank.proto", "rerank/tei/tei.proto"])
def test_every_element_has_a_comment(tmp_path: Path, path: str) -> None:
    """Services, methods, messages, fields, enums and their values: the comments are the API's reference."""
    out = tmp_path / "set"
    includes = [f"-I{_PROTO}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    command = ["protoc", *includes, f"--descriptor_set_out={out}", "--include_source_info", path]
    assert protoc.main(command) == 0
    file = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    documented = {tuple(location.path) for location in file.source_code_info.location if location.leading_comments}
    assert set(_elements(file)) - documented == set()


def _elements(file: descriptor_pb2.FileDescriptorProto) -> list[tuple[int, ...]]:
    """Paths of all elements, in the numbering of descriptor.proto."""
    found: list[tuple[int, ...]] = []
    for at, message in enumerate(file.message_type):
        found += [(4, at), *((4, at, 2, index) for index in range(len(message.field)))]
        synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
        found += [(4, at, 8, index) for index in range(len(message.oneof_decl)) if index not in synthetic]
    for at, enum in enumerate(file.enum_type):
        found += [(5, at), *((5, at, 2, index) for index in range(len(enum.value)))]
    for at, service in enumerate(file.service):
        found += [(6, at), *((6, at, 2, index) for index in range(len(service.method)))]
    return found

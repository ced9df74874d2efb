"""Comments of the proto files."""

import pytest
from google.protobuf import descriptor_pb2

from support.proto_contract import FILES, compiled


@pytest.mark.parametrize("path", FILES)
def test_every_element_has_a_comment(path: str) -> None:
    """The comments are the reference of the API: services, methods, messages, fields, enums and enum values."""
    file = compiled([path], "--include_source_info").file[0]
    documented = {tuple(location.path) for location in file.source_code_info.location if location.leading_comments}
    assert set(_elements(file)) - documented == set()


def _elements(file: descriptor_pb2.FileDescriptorProto) -> list[tuple[int, ...]]:
    """Return the paths of all elements, in the numbering of descriptor.proto."""
    paths: list[tuple[int, ...]] = []
    for at, message in enumerate(file.message_type):
        paths += [(4, at), *((4, at, 2, index) for index in range(len(message.field)))]
        synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
        paths += [(4, at, 8, index) for index in range(len(message.oneof_decl)) if index not in synthetic]
    for at, enum in enumerate(file.enum_type):
        paths += [(5, at), *((5, at, 2, index) for index in range(len(enum.value)))]
    for at, service in enumerate(file.service):
        paths += [(6, at), *((6, at, 2, index) for index in range(len(service.method)))]
    return paths

"""The messages of tei.v1 and of TEI's own proto file are the same."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from tei_client.stubs import tei_pb2 as theirs

from rerank.tei import tei_pb2 as ours

OURS_AND_THEIRS = ("rerank.tei.tei_pb2", "tei_client.stubs.tei_pb2")


def test_messages_enums_and_services_are_equal() -> None:
    """Every definition in our proto file is equal to TEI's."""
    proto, tei = FileDescriptorProto(), FileDescriptorProto()
    ours.DESCRIPTOR.CopyToProto(proto)
    theirs.DESCRIPTOR.CopyToProto(tei)
    assert (proto.name, proto.package) == (tei.name, tei.package)
    for our_definitions, their_definitions in (
        (proto.message_type, tei.message_type),
        (proto.enum_type, tei.enum_type),
        (proto.service, tei.service),
    ):
        by_name = {definition.name: definition for definition in their_definitions}
        assert our_definitions
        for definition in our_definitions:
            assert definition == by_name[definition.name]


@pytest.mark.parametrize("modules", [OURS_AND_THEIRS, OURS_AND_THEIRS[::-1]])
def test_both_modules_can_be_imported(modules: Sequence[str]) -> None:
    """In either order, each module reads the messages of the other."""
    code = f"""
import importlib
first, second = map(importlib.import_module, {modules!r})
sent = first.RerankRequest(query="q", texts=["a"], truncate=True, truncation_direction=first.TRUNCATION_DIRECTION_LEFT)
read = second.RerankRequest.FromString(sent.SerializeToString())
assert (read.query, list(read.texts), read.truncate, read.truncation_direction) == ("q", ["a"], True, 1)
assert first.RerankRequest.FromString(read.SerializeToString()) == sent
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)

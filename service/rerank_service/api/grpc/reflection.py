"""Server reflection (grpc.reflection.v1 and v1alpha), so that clients such as grpcurl need no proto file."""

from collections.abc import Iterable

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from rerank_service.api.grpc.bounded_services import BoundedServer

V1 = "grpc.reflection.v1.ServerReflection"
"""Name of the service in v1. Clients ask for it first. grpcio-reflection serves v1alpha only. The two versions have the
same messages and methods, in different packages (grpc-proto, grpc/reflection)."""


def add_reflection(server: BoundedServer, services: Iterable[str], files: Iterable[FileDescriptor]) -> None:
    """Serve the descriptors of services in both versions of the protocol.

    `files` are the descriptors of the services, which may come from different pools.
    """
    pool = _described([*files, reflection_pb2.DESCRIPTOR])
    pool.AddSerializedFile(_v1_file().SerializeToString())
    servicer = reflection.aio.ReflectionServicer((*services, reflection.SERVICE_NAME, V1), pool=pool)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    info = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_registered_method_handlers(V1, {"ServerReflectionInfo": info})


def _v1_file() -> FileDescriptorProto:
    """Return the proto file of v1: that of v1alpha with another package."""
    alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    file = json_format.Parse(json_format.MessageToJson(alpha).replace("v1alpha", "v1"), FileDescriptorProto())
    file.name = "grpc/reflection/v1/reflection.proto"
    return file


def _described(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Return one pool with the files, which may come from different pools, and with their imports."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        pool.AddSerializedFile(file.serialized_pb)

    for file in files:
        add(file)
    return pool

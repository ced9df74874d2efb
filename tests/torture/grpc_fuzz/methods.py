"""All methods of a gRPC port, by reflection: a new one is tried without a change here."""

from dataclasses import dataclass

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service."""

    path: str
    """Name in a call, such as `/rerank.v1.Rerank/Rerank`."""
    request: Descriptor
    response: type[Message]
    streams_requests: bool
    streams_responses: bool

    @property
    def watches(self) -> bool:
        """True if the call may last until its client ends it."""
        return self.streams_responses and not self.streams_requests


def methods_of(address: str) -> list[Method]:
    """Return all methods that a port serves."""
    with grpc.insecure_channel(address, options=_OWN_CONNECTION) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = [pool.FindServiceByName(name) for name in sorted(database.get_services())]
        return [method for service in services for method in _methods(service)]


def _methods(service: ServiceDescriptor) -> list[Method]:
    return [
        Method(
            f"/{service.full_name}/{method.name}",
            method.input_type,
            message_factory.GetMessageClass(method.output_type),
            bool(method.client_streaming),
            bool(method.server_streaming),
        )
        for method in service.methods
    ]

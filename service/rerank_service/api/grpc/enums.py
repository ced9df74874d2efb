"""Enum fields of messages."""

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from rerank_service.errors import InvalidRequest

Member = TypeVar("Member")


def enum_member(message: Message, field: str, members: Mapping[Any, Member]) -> Member:
    """Return the member for the number in an enum field of a message.

    proto3 enums are open: a newer client may send a number that this server does not have.

    Raises:
        InvalidRequest: `members` does not have the number.
    """
    number = getattr(message, field)
    if number in members:
        return members[number]
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    assert enum is not None
    names = [value.name for value in enum.values]
    raise InvalidRequest(f"{field} has no value {number}: use {', '.join(names)}", field=field, reason="out_of_range")

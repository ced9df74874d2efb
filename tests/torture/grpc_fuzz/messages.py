"""Messages of any type, by its descriptor: mostly valid, with values that break programs."""

from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from torture.values import text

_MAX_DEPTH = 4
_STRUCT = "google.protobuf.Struct"
_INTEGERS = (0, 1, 2, 3, 10, 32, 33, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
_FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"), 2.0**53)
_UNSIGNED = (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: 32,
    FieldDescriptor.CPPTYPE_UINT32: 32,
    FieldDescriptor.CPPTYPE_INT64: 64,
    FieldDescriptor.CPPTYPE_UINT64: 64,
}
_JSON = (
    "{}",
    '{"a": 1}',
    "[]",
    "nul",
    '{"a": NaN}',
    '{"a": "1"',
    '{"text": "1 2"}',
    "[" * 2000,
    '{"a": "\\ud83d"}',
    "",
)


def random_message(rng: Random, descriptor: Descriptor, depth: int = 0) -> Message:
    """Return a message with some of its fields."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if rng.random() < _share(field, depth):
            _fill(rng, message, field, depth)
    return message


def _share(field: FieldDescriptor, depth: int) -> float:
    """Return how often a field is set: queries and documents mostly are, others seldom."""
    if field.message_type is not None and depth >= _MAX_DEPTH:
        return 0.0
    if field.name in ("query", "documents", "text", "texts", "request", "header"):
        return 0.85
    return 0.05 if field.name == "model" else 0.2


def _fill(rng: Random, message: Any, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.full_name == _STRUCT:
        getattr(message, field.name).update(_object(rng))
    elif _is_map(field):
        return
    elif field.is_repeated:
        count = rng.choice((0, 1, 2, 5, 20))
        if field.message_type is not None:
            getattr(message, field.name).extend(
                random_message(rng, field.message_type, depth + 1) for _ in range(count)
            )
        else:
            getattr(message, field.name).extend(_scalar(rng, field) for _ in range(count))
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(random_message(rng, field.message_type, depth + 1))
    else:
        setattr(message, field.name, _scalar(rng, field))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _object(rng: Random) -> dict[str, Any]:
    nested: Any = rng.choice((1, "1", None, [], {}))
    for _ in range(rng.choice((0, 0, 1, 5, 20))):
        nested = rng.choice(([nested], {"a": nested}))
    return {rng.choice(("a", "text", "", "\0")): rng.choice((nested, *_FLOATS)) for _ in range(rng.randrange(4))}


def _scalar(rng: Random, field: FieldDescriptor) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.randbytes(rng.randrange(100))
        return rng.choice(_JSON) if field.name == "json" else text(rng)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice((0, 1, 2, 3, 4, 5, 99, -1, 2**31 - 1))
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(_FLOATS)
    bits = _BITS[kind]
    lowest, highest = (0, 2**bits - 1) if kind in _UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return rng.choice([number for number in _INTEGERS if lowest <= number <= highest])

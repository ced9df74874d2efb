"""All parts of the campaign, in the order in which they run."""

from torture.equivalence.part import EQUIVALENCE, EQUIVALENCE_CACHE
from torture.file_fuzz.part import FILES
from torture.grpc_fuzz.part import ADMIN, GRPC
from torture.http_fuzz.part import HTTP
from torture.load.levels import LOAD
from torture.load.soak import SOAK
from torture.part import Part

PARTS: tuple[Part, ...] = (HTTP, GRPC, ADMIN, FILES, EQUIVALENCE, EQUIVALENCE_CACHE, LOAD, SOAK)
"""To add a part: one module with a `Part`, and its name here. tests/torture/part.py has the contract."""


def part_of(name: str) -> Part:
    """Return a part by its name."""
    return next(part for part in PARTS if part.name == name)

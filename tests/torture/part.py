"""Contract of a part of the campaign, and the outcome of one input."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torture.resources import MEMORY_SAMPLES

if TYPE_CHECKING:
    from torture.part_run import PartRun
    from torture.server import Server

Case = dict[str, Any]
"""An input as JSON: it can be kept in a file and tried again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one input."""

    kind: str
    """A few words for the table, such as `400` or `INVALID_ARGUMENT`."""
    problem: str = ""
    """Why the outcome is a failure; empty if it is none."""
    case: Case | None = None
    """The input. It is kept for failures only."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure, with the command that repeats it."""

    problem: str
    numbers: str
    """The number of the input, or a range such as `100-199` if the check was made after several ones."""
    command: str
    case: Case | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the campaign."""

    name: str
    title: str
    """Work of the part, for --help and for the table."""
    run: Callable[["PartRun"], Coroutine[Any, Any, None]]
    """Try the inputs. It starts its server by `PartRun.server`, and gives each input to `PartRun.each`."""
    inputs: int
    """Number of inputs of the whole campaign."""
    slice_inputs: int
    """Number of inputs of the slice that CI runs."""
    flags: tuple[str, ...] = ()
    """Flags of the server, beside the addresses."""
    one_version: bool = False
    """True if the part measures one version: it starts again if the code of the server has changed."""
    overloads: bool = False
    """True if the part overloads the server, which may then reject requests beside it."""
    block: int | None = None
    """Number of inputs between two checks of the server. None: that of the campaign."""
    memory_samples: int = MEMORY_SAMPLES
    """Number of blocks that the growth of memory needs. A part whose blocks are all alike needs fewer."""
    repeat: Callable[["Server", Case], Awaitable[Outcome]] | None = None
    """Try a case from a file. None: the part keeps no cases."""

"""A way to reach the server: a client and the line that makes it, which docs/clients.md shows as it runs here."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Generic, TypeVar

from clients.records import Record

C = TypeVar("C")
Make = Callable[[str, str, str], C]
"""Takes H, the server's root, k, the key, and M, the model."""


@dataclass(frozen=True, slots=True)
class Way(Generic[C]):
    """A client that can be made."""

    client: str
    package: str
    dialect: str
    note: str
    make: Make[C]

    def __str__(self) -> str:
        return self.make.__name__

    @property
    def record(self) -> Record:
        """Its row."""
        release = version(self.package) if self.package else "its calls, replayed"
        return Record("Python", self.client, release, self.dialect, line_of(self.make), self.note)


def way(client: str, *, dialect: str, package: str | None = None, note: str = "") -> Callable[[Make[C]], Way[C]]:
    """Makes a way of a function of H, k and M that returns the client. The package is the client's name unless given;
    an empty one is for an application whose calls are replayed."""

    def decorate(make: Make[C]) -> Way[C]:
        return Way(client, client if package is None else package, dialect, note, make)

    return decorate


def line_of(function: Make[C]) -> str:
    """What a function does, as one line: its statements, and what it returns."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef)
    shown = [statement.value if isinstance(statement, ast.Return) else statement for statement in definition.body]
    return "; ".join(ast.unparse(one) for one in shown if one is not None)

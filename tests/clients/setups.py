"""Client setups: a client and its setup line, which docs/clients.md shows as it runs here."""

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
"""Create a client. Arguments: H, the root URL of the server; k, the key; M, the model."""


@dataclass(frozen=True, slots=True)
class ClientSetup(Generic[C]):
    """A client, its dialect and the function that creates it."""

    client: str
    package: str
    dialect: str
    note: str
    make: Make[C]

    def __str__(self) -> str:
        return self.make.__name__

    @property
    def record(self) -> Record:
        """Return its row of docs/clients.md."""
        release = version(self.package) if self.package else "its calls, replayed"
        return Record(
            language="Python",
            client=self.client,
            version=release,
            dialect=self.dialect,
            constructor=line_of(self.make),
            note=self.note,
        )


def client_setup(
    client: str, *, dialect: str, package: str | None = None, note: str = ""
) -> Callable[[Make[C]], ClientSetup[C]]:
    """Decorate a function of H, k and M that returns the client.

    `package` is the client's name by default. It is empty for an application whose calls are replayed.
    """

    def decorate(make: Make[C]) -> ClientSetup[C]:
        return ClientSetup(client, client if package is None else package, dialect, note, make)

    return decorate


def line_of(function: Make[C]) -> str:
    """Return the statements of a function and its return value as one line."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef)
    statements = [statement.value if isinstance(statement, ast.Return) else statement for statement in definition.body]
    return "; ".join(ast.unparse(node) for node in statements if node is not None)

"""Read a models file: a YAML or JSON list of models, such as a mounted Kubernetes ConfigMap."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from rerank_service.errors import BundleInvalid, SettingsInvalid
from rerank_service.models.catalog.bundle_name import bundle_name
from rerank_service.models.catalog.entry import Load, ModelEntry
from rerank_service.models.catalog.fields import ALLOWED, EntryFields, entries_of, problems
from rerank_service.models.files import model_folder
from rerank_service.models.registry import DEFAULT_NAMES
from rerank_service.yaml_entries import Entries, read_entries, syntax_problem

_MAX_BYTES = 1024 * 1024
"""Maximum size of a models file, as of a ConfigMap."""


def read_models_file(path: Path) -> tuple[ModelEntry, ...]:
    """Return the models of a YAML or JSON file.

    Raises:
        SettingsInvalid: see `read_catalog`.
    """
    try:
        content = read_entries(_bytes(path))
        _check_fields_once(path, content)
        fields = entries_of(content.values)
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise _refusal(path, problems(content, error)) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date, or too many levels
        raise _refusal(path, syntax_problem(error)) from None
    file = _File(path, content)
    entries = tuple(file.entry(number, each) for number, each in enumerate(fields))
    file.check_names(entries)
    return entries


@dataclass(frozen=True, slots=True)
class _File:
    """A models file whose fields have valid values."""

    path: Path
    content: Entries

    def entry(self, number: int, fields: EntryFields) -> ModelEntry:
        """Return an entry of the catalog. `number` counts from 0."""
        folder = model_folder(Path(fields.bundle), below=self.path.parent)
        if not os.path.exists(folder):  # noqa: PTH110 - Path.exists raises an error if the name is too long
            raise self._refusal(number, "bundle", f"is {fields.bundle!r}: there is no file or folder {str(folder)!r}")
        if fields.unload_after is not None and fields.load is not Load.ON_DEMAND:
            raise self._refusal(
                number, "unload_after", f"is {fields.unload_after:g}: set load to on_demand, or remove unload_after"
            )
        return ModelEntry(
            folder=folder,
            place=f"{self.path.name}, line {self.content.line(number)}",
            name=fields.name or self._bundle_name(number, folder),
            aliases=tuple(fields.aliases),
            provider=fields.provider,
            precision=fields.precision,
            lanes=fields.lanes,
            weight=fields.weight,
            max_live_documents=fields.max_live_documents,
            max_live_tokens=fields.max_live_tokens,
            load=fields.load,
            unload_after=fields.unload_after,
            digest=fields.digest and fields.digest.lower(),
        )

    def check_names(self, entries: Sequence[ModelEntry]) -> None:
        """Check that each name and each alias is there once, and that `default` is free for the first model."""
        owners: dict[str, int] = {}
        for number, entry in enumerate(entries):
            for field, name in _fields_of_names(entry):
                if (owner := owners.get(name)) is not None:
                    other = "this model" if owner == number else f"the model in line {self.content.line(owner)}"
                    raise self._refusal(number, field, f"has {name!r}, a name of {other} already: set another name")
                if name in DEFAULT_NAMES and number:
                    raise self._refusal(
                        number, field, f"has {name!r}, which means the first model of the file: set another name"
                    )
                owners[name] = number

    def _bundle_name(self, number: int, folder: Path) -> str:
        try:
            return bundle_name(folder)
        except BundleInvalid as error:
            raise self._refusal(number, "bundle", f"has no name: {error}") from None

    def _refusal(self, number: int, field: str, why: str) -> SettingsInvalid:
        return _refusal(self.path, f"line {self.content.line(number, field)}: {field} {why}")


def _fields_of_names(entry: ModelEntry) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(entry.names):
        yield "aliases" if index else "name", name


def _bytes(path: Path) -> bytes:
    """Return the content of a file. Opens regular files only, because opening a FIFO would block."""
    if path.exists() and not path.is_file():
        raise _refusal(path, "is not a regular file")
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise _refusal(path, "has more than 1 MiB, the maximum for a models file")
    return content


def _check_fields_once(path: Path, content: Entries) -> None:
    for _, name, line in content.duplicates():
        field = name if name in ALLOWED else "a field"
        raise _refusal(path, f"line {line}: has {field} twice: remove one of them")


def _refusal(path: Path, why: str) -> SettingsInvalid:
    return SettingsInvalid(f"--models {path}: {why}")

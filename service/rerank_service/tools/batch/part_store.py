"""The folder OUT.parts, which keeps the finished parts of a job until all of them are joined into OUT.

    job.json            the identity of the job (job_identity.py)
    000007.part         rows of a part with their scores, in the format of OUT
    000007.errors       rows of the part that have no score, as JSONL
    000007.done         number of rows, pairs and errors; the part is finished if this file exists
    lock                held while a process works on the job

Each file is written under another name, synchronized with the disk and renamed; `.done` is the last of a part. So a
process can be killed at any moment, and a part is finished completely or not at all.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from rerank_service.errors import OutputNotWritten, SettingsInvalid
from rerank_service.tools.batch.formats.file_format import FileFormat
from rerank_service.tools.batch.job_identity import WAYS_ON, changes

_JOB = "job.json"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of a part, or of all parts."""

    rows: int = 0
    """Rows read, those with errors included."""
    pairs: int = 0
    """Pairs with a score."""
    errors: int = 0
    """Rows without a score."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.rows + other.rows, self.pairs + other.pairs, self.errors + other.errors)


class PartStore:
    """The finished parts of one job."""

    def __init__(self, target: Path) -> None:
        """`target` is OUT, the file for all rows."""
        target = _written_file(target)
        self._target = target
        self._folder = target.with_name(f"{target.name}.parts")
        self._removed = target.with_name(f"{target.name}.parts.removed")
        self.errors_file = target.with_name(f"{target.name}.errors.jsonl")
        """The file for the rows without a score."""
        self.finished: dict[int, Counts] = {}
        """The finished parts by number."""

    @contextmanager
    def opened(self, identity: Mapping[str, str], *, restart: bool) -> Iterator[None]:
        """Hold the folder while the block runs, and read which parts are finished.

        Raises:
            SettingsInvalid: OUT exists, its folder cannot be written, its name is too long for the files beside it,
                another process works on the job, or the folder has the parts of another job.
        """
        shutil.rmtree(self._removed, ignore_errors=True)
        try:
            if not self._folder.exists():
                self._check_replacement(restart=restart)
            self._check_kind()
            with suppress(FileNotFoundError, NotADirectoryError):
                self._removed.lstat()  # the longest name
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / _LOCK).open("a")
        except OSError as error:
            raise SettingsInvalid(f"cannot write {error.filename}: {error.strerror}{_ways_on(error)}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SettingsInvalid(f"another process writes {self._target}: wait for its end") from error
            self._check(identity, restart=restart)
            yield

    def _check_replacement(self, *, restart: bool) -> None:
        """Reject a new job that would replace OUT without --restart."""
        if self._target.exists() and not restart:
            raise SettingsInvalid(f"{self._target} exists: give another name, or --restart to replace it")

    def _check_kind(self) -> None:
        """Reject a folder or a device as OUT, before any row is scored: the result could not replace it, or would."""
        if self._target.exists() and not self._target.is_file():
            raise SettingsInvalid(f"{self._target} is not a regular file: give another name")

    def _check(self, identity: Mapping[str, str], *, restart: bool) -> None:
        """Compare the folder with the job, or make it the folder of the job."""
        job = self._folder / _JOB
        changed = changes(orjson.loads(job.read_bytes()), identity) if job.exists() and not restart else []
        if restart or not job.exists() or (changed and not self._done()):  # without a finished part, nothing is lost
            self._check_replacement(restart=restart)  # an earlier --restart may have ended before its first part
            job.unlink(missing_ok=True)  # first: a start after a kill removes the rest, too
            _synchronize(self._folder)
            for path in self._folder.iterdir():
                if path.name != _LOCK:
                    path.unlink()
            _write(job, orjson.dumps(dict(identity), option=orjson.OPT_INDENT_2))
            _synchronize(self._folder)
        elif changed:
            raise SettingsInvalid(f"{self._folder} has the parts of another job: {'; '.join(changed)}: {WAYS_ON}")
        self.finished = {int(path.stem): Counts(**orjson.loads(path.read_bytes())) for path in self._done()}

    def _done(self) -> list[Path]:
        return sorted(self._folder.glob("*.done"), key=lambda path: int(path.stem))

    def finish(self, number: int, data: bytes, errors: bytes, counts: Counts) -> None:
        """Write a part. When this returns, the part survives a crash of the process and of the machine.

        Raises:
            OutputNotWritten: the disk is full, for example. The part is not finished.
        """
        with _resumable(self._folder):
            _write(self._path(number, "part"), data)
            _write(self._path(number, "errors"), errors)
            _write(self._path(number, "done"), orjson.dumps(asdict(counts)))
            _synchronize(self._folder)
        self.finished[number] = counts

    def first_error(self) -> tuple[int, str] | None:
        """Return the number and the error of the first row without a score in a finished part; None without one."""
        numbers = (number for number, counts in self.finished.items() if counts.errors)
        if (number := min(numbers, default=None)) is None:
            return None
        row, error = orjson.loads(self._path(number, "errors").read_bytes().splitlines()[0]).values()
        return row, error

    def _path(self, number: int, kind: str) -> Path:
        return self._folder / f"{number:06}.{kind}"

    def join(self, file_format: FileFormat) -> Counts:
        """Write OUT and the file of errors from all parts, remove the parts, and return the sum of their numbers.

        Raises:
            OutputNotWritten: the disk is full, for example. All parts are kept.
        """
        numbers = sorted(self.finished)
        total = sum(self.finished.values(), Counts())
        if total.errors:
            errors = [self._path(number, "errors") for number in numbers]
            self._replace(self.errors_file, lambda path: _concatenate(errors, path))
        else:
            self.errors_file.unlink(missing_ok=True)
        # a part without scored rows is empty in every format
        parts = [path for number in numbers if (path := self._path(number, "part")).stat().st_size]
        self._replace(self._target, lambda path: file_format.join(parts, path))
        self._folder.rename(self._removed)  # removed as a whole: a kill during rmtree leaves no incomplete job
        shutil.rmtree(self._removed)
        return total

    def _replace(self, target: Path, write: Callable[[Path], None]) -> None:
        """Let `write` write a file beside the parts, and rename it to `target`."""
        temporary = self._folder / "joined.new"
        with _resumable(target):
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
            _synchronize(target.parent)


@contextmanager
def _resumable(path: Path) -> Iterator[None]:
    """Raise an error of the file system with the next step."""
    try:
        yield
    except OSError as error:
        raise OutputNotWritten(
            f"{path} cannot be written: {error.strerror or error}. Make room, and run the same command again: finished "
            "parts are kept"
        ) from error


def _written_file(target: Path) -> Path:
    """Return the file that a link names, so that the link stays, or else `target`."""
    with suppress(OSError):  # the name is too long; `opened` says so
        if target.is_symlink():
            return Path(os.path.realpath(target))
    return target


def _ways_on(error: OSError) -> str:
    """Return the next step after an error, as the end of its message."""
    return ": give OUT a shorter name" if error.errno == errno.ENAMETOOLONG else ""


def _concatenate(sources: list[Path], target: Path) -> None:
    with target.open("wb") as file:
        for source in sources:
            file.write(source.read_bytes())


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _synchronize(folder: Path) -> None:
    """Write the names of a folder's files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

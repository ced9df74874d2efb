"""Changes of a file: of its values in its own format, or of its bytes."""

import gzip
import json
from collections.abc import Callable
from random import Random

from torture.file_fuzz.tables import any_table
from torture.mutations import damaged, mutated
from torture.values import NUMBERS, text

_SHARE_OF_BYTES = 0.4
"""Share of inputs whose bytes are damaged. In the others, values are changed."""
_MAX_TEXT_BYTES = 1_000_000
"""Longer texts are cut: each input is kept as a file if it fails."""


def damaged_file(rng: Random, name: str, content: bytes) -> bytes:
    """Return the damaged content of a file."""
    if name.endswith(".gz") and rng.random() < 0.7:  # what is inside; else the gzip data itself
        return gzip.compress(damaged_file(rng, name.removesuffix(".gz"), gzip.decompress(content)), mtime=0)
    change = _CHANGES.get(name.rpartition(".")[2])
    if change is None or rng.random() < _SHARE_OF_BYTES:
        return damaged(rng, content)
    changed = change(rng, content)
    return damaged(rng, changed) if rng.random() < 0.1 else changed


def with_new_digest(manifest: bytes, name: str, digest: str) -> bytes:
    """Return a manifest of version 0.1 with the digest of a damaged file, so that its content is read.

    Later versions have a digest of the manifest itself, too.
    """
    content = json.loads(manifest)
    content["files"][name] = digest
    content["recipe"].pop("manifest_sha256", None)
    return json.dumps(content).encode()


def _json(rng: Random, content: bytes) -> bytes:
    value = json.loads(content)
    if isinstance(value, dict):
        return mutated(rng, value)
    chosen = rng.randrange(len(value))
    parts = [mutated(rng, part) if number == chosen else json.dumps(part).encode() for number, part in enumerate(value)]
    return b"[" + b",".join(parts) + b"]"


def _jsonl(rng: Random, content: bytes) -> bytes:
    lines = content.splitlines()
    chosen = rng.randrange(len(lines))
    value = json.loads(lines[chosen])
    lines[chosen] = mutated(rng, value) if isinstance(value, dict) else damaged(rng, lines[chosen])
    return _with_line_ends(rng, lines)


def _cells(separator: bytes) -> Callable[[Random, bytes], bytes]:
    """Return a change of a file of lines with cells: a cell gets another value, or is removed or repeated."""

    def change(rng: Random, content: bytes) -> bytes:
        lines = content.split(b"\n")
        chosen = rng.randrange(len(lines))
        cells = lines[chosen].split(separator)
        at = rng.randrange(len(cells))
        value = text(rng)[:_MAX_TEXT_BYTES].encode(errors="surrogatepass")
        lines[chosen] = separator.join(
            rng.choice(
                (
                    [*cells[:at], value, *cells[at + 1 :]],
                    [*cells[:at], rng.choice(NUMBERS).encode(), *cells[at + 1 :]],
                    [*cells[:at], *cells[at + 1 :]],
                    [*cells[:at], cells[at], *cells[at:]],
                    [*cells[:at], b'"' + cells[at], *cells[at + 1 :]],
                )
            )
        )
        return _with_line_ends(rng, lines)

    return change


def _with_line_ends(rng: Random, lines: list[bytes]) -> bytes:
    """Join lines, some of them repeated or swapped."""
    if rng.random() < 0.1:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    if rng.random() < 0.1:
        rng.shuffle(lines)
    end = rng.choice((b"\n",) * 8 + (b"\r\n", b"\r"))
    return end.join(lines) + rng.choice((b"", end, end * 3))


def _parquet(rng: Random, _content: bytes) -> bytes:
    return any_table(rng)


_CHANGES: dict[str, Callable[[Random, bytes], bytes]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _cells(b","),
    "tsv": _cells(b"\t"),
    "txt": _cells(b" "),
    "trec": _cells(b" "),
    "parquet": _parquet,
}

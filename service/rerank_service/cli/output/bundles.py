"""Output of `rerank admin`: a table, lines of JSON, and one line for each change."""

from collections.abc import Iterable
from functools import partial

from rich.table import Column, Table
from rich.text import Text

from rerank.v1 import admin_pb2 as pb
from rerank_service.cli.output.tables import printable, short_digest, state_name
from rerank_service.quantities import counted

_MIB = 1024 * 1024


def bundles_table(bundles: Iterable[pb.Bundle], *, wide: bool = False) -> Table:
    """Return one row for each model and each bundle that no model uses. With `wide`, each row is one line."""
    table = Table(
        Column("name", overflow="fold"),
        Column("state", no_wrap=True),
        Column("engine", no_wrap=True),
        Column("memory", justify="right", no_wrap=True),
        Column("live", justify="right", no_wrap=True),
        Column("weight", justify="right", no_wrap=True),
        Column("folder, digest, reason", overflow="fold"),
        show_lines=True,
    )
    joined = partial(_joined, ", " if wide else "\n")
    for bundle in bundles:
        table.add_row(
            joined(bundle.name, *bundle.aliases),
            joined(_state(bundle), "on demand" if bundle.on_demand else ""),
            joined(_engine(bundle), counted(bundle.lanes, "lane") if bundle.lanes else ""),
            _memory(bundle),
            f"{bundle.live_requests:,}",
            f"{bundle.weight:g}" if bundle.weight else "",
            joined(bundle.folder, short_digest(bundle.digest), bundle.reason),
        )
    return table


def bundle_line(bundle: pb.Bundle) -> str:
    """Return one line about a model: its state, engine, memory and folder."""
    facts = ", ".join(filter(None, (_engine(bundle), _memory(bundle), f"from {bundle.folder}")))
    return printable(f"{bundle.name} is {_state(bundle)}: {facts}")


def bundle_json(bundle: pb.Bundle) -> dict[str, object]:
    """Return the fields of a bundle under their names in admin.proto. Memory that was not measured is null."""
    return {
        "name": bundle.name,
        "aliases": list(bundle.aliases),
        "folder": bundle.folder,
        "state": _state(bundle),
        "reason": bundle.reason,
        "digest": bundle.digest,
        "on_demand": bundle.on_demand,
        "weight": bundle.weight,
        "memory_bytes": bundle.memory_bytes if bundle.HasField("memory_bytes") else None,
        "live_requests": bundle.live_requests,
        "precision": bundle.precision,
        "provider": bundle.provider,
        "lanes": bundle.lanes,
    }


def _state(bundle: pb.Bundle) -> str:
    return state_name(pb.BundleState.Name, bundle.state)


def _joined(separator: str, *texts: str) -> Text:
    """Return the texts that are not empty, without markup and with control characters replaced."""
    return Text(separator.join(map(printable, filter(None, texts))))


def _engine(bundle: pb.Bundle) -> str:
    if not bundle.provider:
        return ""
    return f"{bundle.provider.removesuffix('ExecutionProvider')} {bundle.precision}"


def _memory(bundle: pb.Bundle) -> str:
    return f"{bundle.memory_bytes / _MIB:,.0f} MiB" if bundle.HasField("memory_bytes") else ""

"""Measure what one client without a key costs a server that requires keys: `make stranger-costs`.

A server is started for each attack as its users start it, with the default limits. The attack is repeated, and the
costs of one unit are printed: memory while it lasts, CPU time, file descriptors and threads, memory that stays after
the end of all connections, and how the server ended the attack.

A server without keys treats everyone as a caller: docs/threat-model.md lists the limits of callers.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from support.process import started
from support.small import write_small_model
from support.tls import write_pems
from torture import stranger_grpc, stranger_rest
from torture.stranger import Attack, Cost, Target, cost_of

ATTACKS: tuple[Attack, ...] = (*stranger_rest.ATTACKS, *stranger_grpc.ATTACKS)
_HEAD = f"{'attack':50}  {'unit':>10}  {'count':>7}  {'KiB':>9}  {'CPU ms':>8}  {'fds':>5}  threads  kept KiB  ended"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attacks, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m torture.stranger_costs", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="only attacks whose title contains this text")
    given = parser.parse_args(arguments)
    chosen = [attack for attack in ATTACKS if given.only.lower() in attack.title.lower()]
    if not chosen:
        titles = "; ".join(attack.title for attack in ATTACKS)
        parser.error(f"--only is {given.only!r}, and no title contains it: {titles}")
    print(_HEAD)
    for attack in chosen:
        with _server(tls=attack.tls) as target:
            print(_line(asyncio.run(cost_of(attack, target))), flush=True)
    return 0


def _line(cost: Cost) -> str:
    attack = cost.attack
    return (
        f"{attack.title:50}  {attack.unit:>10}  {attack.count:>7,}  {cost.kib:9.2f}  {cost.cpu_ms:8.3f}  "
        f"{cost.descriptors:5.2f}  {cost.threads:>7}  {cost.kept_kib:8.2f}  {cost.ended}"
    )


@contextmanager
def _server(*, tls: bool) -> Iterator[Target]:
    """Start a server that requires keys, on the small model of the tests."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bundle = write_small_model(Path(folder) / "small")
        variables = {"RERANK_API_KEYS": "secret", "RERANK_ACCESS_LOG": "off"}
        if tls:
            variables |= write_pems(Path(folder) / "tls", trustme.CA()).variables()
        server = stack.enter_context(started("--model", str(bundle.folder), **variables))
        rest, grpc = (urlsplit(each if "//" in each else f"//{each}").port for each in (server.rest, server.grpc))
        assert rest is not None
        assert grpc is not None
        yield Target(server.popen.pid, rest, grpc)


if __name__ == "__main__":
    sys.exit(main())

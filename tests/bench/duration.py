"""Estimate of the duration of a benchmark, for its first line."""

from collections.abc import Sequence

from bench.options import Options
from bench.parts import BUNDLED, SERVER, Part
from bench.systems import OURS, System, Use

_START = 15.0
"""Seconds to start a system; a peer that quantises its model takes longer, once."""
_SLOWNESS = {Use.OURS: 1.0, Use.BARE: 1.0, Use.ENGINE: 2.0, Use.AS_USERS_DO: 5.0, Use.AT_ITS_BEST: 2.5}
"""Time for the same work, relative to this server with the engine of `auto`."""
_DOCUMENTS_PER_SECOND = 130.0
"""Documents that this server ranks on two cores."""
_CANDIDATES = 20
_PAUSE = 4.0
"""Seconds between two load levels: requests that have started are finished."""
_TOKENS_PER_SECOND = 13_000.0


def seconds_of_part(part: Part, systems: Sequence[System], options: Options) -> float:
    """Return a rough duration of a part in seconds, on two cores. `systems` are those of the part."""
    runnable = [system for system in systems if not system.cannot_run]
    seconds = sum(_system(system, options) for system in runnable)
    return seconds + _alone(options) if part.name == SERVER else seconds


def _system(system: System, options: Options) -> float:
    slowness = _SLOWNESS[system.use]
    turn = options.turn_seconds * slowness
    searched = len(options.batches) * turn / 4 if system.is_tuned else 0.0
    rounds = options.rounds * turn * (options.served_repeats if system.peer == OURS else 1)
    requests = options.interactive_requests_of_peers * options.interactive_documents
    single = (requests + options.parity_queries * _CANDIDATES) / _DOCUMENTS_PER_SECOND * slowness
    return _START + searched + turn / 4 + rounds + single


def _alone(options: Options) -> float:
    levels = 2 * len(options.level_clients) * (options.level_seconds + _PAUSE)
    memory = options.memory_documents * options.memory_tokens / _TOKENS_PER_SECOND
    probes = 2 * options.probes * options.documents / _DOCUMENTS_PER_SECOND * 2
    return levels + memory + probes + 2 * options.overload_seconds + options.cold_starts * _PAUSE


def duration_text(parts: Sequence[tuple[Part, float]], done: Sequence[Part]) -> str:
    """Return the line about the parts to measure, with their seconds, and those that are measured already."""
    minutes = ", ".join(f"{part.name} {seconds / 60:.0f}" for part, seconds in parts)
    total = sum(seconds for _, seconds in parts) / 60
    known = f"; measured already: {', '.join(part.name for part in done)} (FRESH=1 measures again)" if done else ""
    if not parts:
        return f"nothing to measure{known}"
    text = f"about {max(1, round(total))} minutes on two idle cores, in minutes by part: {minutes}"
    if any(part.name == BUNDLED for part, _ in parts):
        text += ". The choice of `auto` takes some minutes more, once"
    return text + known

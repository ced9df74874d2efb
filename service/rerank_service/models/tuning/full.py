"""`rerank tune`: engines, then batch budget, length rounding and lanes, with the machine for itself.

Settings are searched one after the other, each with the best of those before: together they would take an hour, and
they hardly depend on each other (docs/performance.md).
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import Offer, Skipped, reasons
from rerank_service.engine.kinds import Engine
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.candidates import Candidates, Contest, Lacking, NotLoaded
from rerank_service.models.tuning.gate import Agreement
from rerank_service.models.tuning.record import MOST, Setting, Trial, Tuned, reference_of
from rerank_service.models.tuning.throughput import Score, in_turn, throughput
from rerank_service.models.tuning.trials import Found, Reference, judge, speeds_beside
from rerank_service.models.variants.cache import Cache
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import BatchLimits, EncodedPair
from rerank_service.scheduling.cost_model import CostModel

ROUNDS = 3
QUERIES = 8
"""Of the parity set, that speed is measured on; agreement is on all."""
NEAR = 0.97
"""Share of the best speed that is as good: of such settings the smallest is taken, since small batches wait less."""
_BUDGETS = (0.5, 1, 2, 4)
"""Times the budget that would be taken without tuning."""
_MULTIPLES = (1, 4, 8, 16)

Told = Callable[[str], None]
"""Told what is measured now."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is tuned."""

    bundle: Bundle
    tokenizer: PairTokenizer
    cache: Cache
    lanes: int
    limits: BatchLimits
    """Taken without tuning."""
    queries: tuple[tuple[EncodedPair, ...], ...]

    @property
    def pairs(self) -> list[EncodedPair]:
        """That speed is measured on."""
        return [pair for query in self.queries[:QUERIES] for pair in query]


def machine(bundle: Bundle, cache: Cache, limits: BatchLimits, *, lanes: int) -> Machine:
    """Read what tuning needs."""
    manifest = bundle.manifest
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
    queries = tuple(tuple(query) for query in parity_set.encoded(tokenizer))
    return Machine(bundle, tokenizer, cache, lanes, replace(limits, max_length=bundle.manifest.max_tokens), queries)


def tune_full(here: Machine, offer: Offer, told: Told, lacking: Lacking = lambda _: None) -> Tuned:
    """Measure, and choose. Beside fp32 one engine at a time is loaded, where memory allows it.

    Raises:
        BundleInvalid: no engine runs it.
    """
    told("loading the engines")
    candidates = Candidates(here.bundle, here.cache, lanes=here.lanes, lacking=lacking)
    contest, failed = _contest(here, offer.engines, candidates)
    found = _found(here, contest, told)
    chosen = found.chosen
    score = contest.base_score if chosen == contest.base else candidates.score_of(chosen)
    best, tried, cost = _settings(here, score, told)
    return Tuned(
        form="full",
        provider=chosen.provider,
        precision=chosen.precision,
        lanes=best.lanes,
        max_batch_tokens=best.max_batch_tokens,
        length_multiple=best.length_multiple,
        cost=cost.weights,
        trials=found.trials,
        settings=tried,
        skipped=reasons((*offer.skipped, *failed, *found.skipped)),
    )


def _contest(here: Machine, engines: tuple[Engine, ...], candidates: Candidates) -> tuple[Contest, tuple[Skipped, ...]]:
    """All others beside the base, and those that would be the base and do not load.

    Raises:
        BundleInvalid: none loads.
    """
    failed: list[Skipped] = []
    while engines:
        base = reference_of(engines)
        engines = tuple(one for one in engines if one != base)
        try:
            encoder = candidates.load(base)
        except NotLoaded as error:
            failed.append(error.skipped)
        else:
            return Contest(base, encoder.score, engines, candidates.score_of), tuple(failed)
    raise BundleInvalid(f"no engine runs {here.bundle.folder}: {'; '.join(reasons(failed))}")


def _found(here: Machine, contest: Contest, told: Told) -> Found:
    untuned = Setting.of(here.limits, here.lanes)

    def in_rounds(scores: Mapping[Engine, Score]) -> dict[Engine, float]:
        told(f"speed of {' and '.join(map(str, scores))}")
        return in_turn({engine: _speed(here, score, untuned) for engine, score in scores.items()}, ROUNDS)

    speeds, skipped = speeds_beside(contest, in_rounds)
    return Found(*_judged(here, contest, speeds, told), skipped)


def _judged(
    here: Machine, contest: Contest, speeds: dict[Engine, float], told: Told
) -> tuple[Engine, tuple[Trial, ...]]:
    base, pad_id = contest.base, here.bundle.manifest.pad_id
    reference = Reference(contest.base_score, [list(query) for query in here.queries], here.limits, pad_id)

    def agreement(engine: Engine) -> Agreement:
        seen, score = Agreement(len(here.queries)), contest.score_of(engine)
        with ThreadPoolExecutor(here.lanes) as pool:
            for at in range(0, len(here.queries), here.lanes):
                told(f"ranking of {engine} beside {base}: {at} of {counted(len(here.queries), 'query')}")
                some = range(at, min(at + here.lanes, len(here.queries)))
                for tau in pool.map(lambda number: reference.tau(number, score), some):
                    seen = seen.and_(tau)
                if seen.holds is False:
                    break
        return seen

    return judge(speeds, base, agreement)


def _settings(here: Machine, score: Score, told: Told) -> tuple[Setting, tuple[Setting, ...], CostModel]:
    """The settings to use, all that were measured, and what batches cost."""
    best = Setting.of(here.limits, here.lanes)
    tried: list[Setting] = []
    for what, values in _grid(here):
        told(f"{what.replace('_', ' ')}: {', '.join(map(str, values))}")
        contestants = [best.model_copy(update={what: value}) for value in values]
        measured = _measured(here, score, contestants)
        tried += measured
        enough = NEAR * max(setting.tokens_per_second for setting in measured)
        best = next(setting for setting in measured if setting.tokens_per_second >= enough)
    cost = CostModel()
    for _ in range(ROUNDS):
        _speed(here, score, best, cost)()
    return best, tuple(tried), cost


def _grid(here: Machine) -> Iterable[tuple[str, list[int]]]:
    yield "max_batch_tokens", sorted({min(max(1, int(here.limits.max_tokens * times)), MOST) for times in _BUDGETS})
    yield "length_multiple", list(_MULTIPLES)
    yield "lanes", sorted({1, max(1, here.lanes // 2), here.lanes})


def _measured(here: Machine, score: Score, contestants: list[Setting]) -> list[Setting]:
    speeds = in_turn({setting: _speed(here, score, setting) for setting in contestants}, ROUNDS)
    return [setting.model_copy(update={"tokens_per_second": round(speed, 1)}) for setting, speed in speeds.items()]


def _speed(here: Machine, score: Score, setting: Setting, cost: CostModel | None = None) -> Callable[[], float]:
    limits = replace(here.limits, max_tokens=setting.max_batch_tokens, length_multiple=setting.length_multiple)
    pad_id = here.bundle.manifest.pad_id
    return lambda: throughput(score, here.pairs, limits, pad_id=pad_id, lanes=setting.lanes, cost=cost)

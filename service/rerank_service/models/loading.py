"""Load a model on the engine that the settings request, an earlier tuning chose, or the safe default."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from rerank_service.engine.cgroup_limits import MemoryLimit, memory_limits
from rerank_service.engine.kinds import Engine
from rerank_service.engine.process_memory import return_free_memory
from rerank_service.error_text import one_line
from rerank_service.errors import BundleInvalid
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.golden_check import check_golden
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel
from rerank_service.models.start_memory import check_memory, may_exceed
from rerank_service.models.tuning.memory_estimate import MemoryNeed, memory_need
from rerank_service.models.tuning.startup import Selection, runnable_request, select, untuned
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.score_cache import ScoreCache

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SelectedModel:
    """A verified bundle and the engine that it will run on. Nothing is loaded yet."""

    bundle: Bundle
    options: ModelOptions
    selection: Selection
    cache: Cache
    refused: Engine | None = None
    """Engine of a tuning on which the model does not load. None: none was tried."""

    @property
    def lanes(self) -> int:
        """Number of batches that will run at once."""
        return self.options.lanes_on(self.selection.engine, self.selection.tuned)

    @property
    def memory_need(self) -> MemoryNeed:
        """Memory that serving the model takes, by an estimate that is an upper bound. Reads the graph."""
        return memory_need(self.bundle, self.selection.engine, self.lanes)

    def may_exceed(self, limits: Sequence[MemoryLimit]) -> bool:
        """Return True if the model may need more memory than the limits leave now."""
        return may_exceed(self.bundle, self.selection.engine, self.lanes, limits)

    def check_memory(self, limits: Sequence[MemoryLimit], held: int = 0) -> None:
        """Compare the model with memory limits. `held` is the memory of the process, if other models are loaded.

        Raises:
            MemoryTooSmall: its weights exceed a limit.
        """
        check_memory(self.bundle, self.selection.engine, self.lanes, limits, held)

    def load(self) -> ServedModel:
        """Load the model while the process holds no other one, and warm it up. Blocks.

        If it cannot be served on the engine of a tuning, load it as without the tuning. Its memory is checked again
        then.

        Raises:
            BundleInvalid: the model cannot be served on this engine.
            MemoryTooSmall: it cannot be served on the engine of a tuning, and does not fit into the memory limit on the
                other one.
        """
        try:
            return self.load_on_engine()
        except BundleInvalid as error:
            other = self.without_tuning(error)
            if other is None:
                raise
        return_free_memory()  # that of the engine that failed
        other.check_memory(memory_limits())
        return other.load_on_engine()

    def load_on_engine(self) -> ServedModel:
        """Load the model on the selected engine, and warm it up. Blocks.

        Raises:
            BundleInvalid: the model cannot be served on this engine.
        """
        model = load_on(self.bundle, self.options, self.selection, self.cache)
        return replace(model, refused=self.refused)

    def without_tuning(self, error: BundleInvalid) -> "SelectedModel | None":
        """Return the choice without the tuning, whose engine has failed with an error. Log a warning. Blocks.

        None: there is no tuning, or no other engine.

        Raises:
            BundleInvalid: the files of the model changed since they were verified.
        """
        if self.selection.tuned is None:
            return None
        choice = untuned(self.bundle, runnable_request(self.bundle, self.options.requested))
        if choice.engine == self.selection.engine:
            return None
        self.bundle.check_unchanged()
        reason = f"{self.selection.engine}, which a tuning chose, does not load"
        why = f"{reason}: {one_line(error)}"
        _log.warning(
            "tuned engine not used",
            engine=str(self.selection.engine),
            why=why,
            used=str(choice.engine),
            next="run `rerank tune` with these settings",
        )
        return replace(self, selection=replace(choice, explanation=why, reason=reason), refused=self.selection.engine)


def select_model(options: ModelOptions) -> SelectedModel:
    """Verify a model folder, and choose the engine. Blocks.

    Raises:
        BundleInvalid: the model cannot be served, or has another digest than the options require.
    """
    bundle, cache = open_bundle(options.folder), Cache(options.cache)
    _check_digest(bundle, options.digest)
    return SelectedModel(bundle, options, select(bundle, runnable_request(bundle, options.requested), cache), cache)


def load_selected(
    options: ModelOptions, read_limits: Callable[[], Sequence[MemoryLimit]] = memory_limits
) -> ServedModel:
    """Load the model on the engine that `select` chooses. Blocks.

    Raises:
        BundleInvalid: the model cannot be served, or has another digest than the options require.
        MemoryTooSmall: its weights exceed the memory limit.
    """
    selected = select_model(options)
    selected.check_memory(read_limits())
    return selected.load()


def load_on(bundle: Bundle, options: ModelOptions, selection: Selection, cache: Cache) -> ServedModel:
    """Load a bundle on a selected engine, and check it by its golden pairs. Blocks.

    Raises:
        BundleInvalid: the model cannot be served on this engine, or scores its golden pairs differently.
    """
    tuned, engine = selection.tuned, options.with_cuda_graphs(selection.engine)
    _log.debug("loading", engine=str(engine), why=selection.explanation)
    model = build_model(
        bundle,
        limits=options.batch_limits(bundle, engine, tuned),
        engine=engine,
        graph=graph_for(bundle, engine, cache),
        lanes=options.lanes_on(engine, tuned),
        names=options.names,
        explanation=selection.explanation,
        reason=selection.reason,
        cost=CostModel(tuned.cost) if tuned and tuned.cost else None,
        scores=ScoreCache(options.score_cache_bytes) if options.score_cache_bytes else None,
    )
    check_golden(model)
    bundle.check_unchanged()
    return model


def _check_digest(bundle: Bundle, required: str | None) -> None:
    if required is not None and bundle.digest != required:
        found = f"the digest {bundle.digest}" if bundle.digest else "no digest, because it has no manifest"
        raise BundleInvalid(
            f"{bundle.folder} has {found}, but {required} is required: change the required digest (--model-digest, or "
            "digest in the models file), or put the right bundle there"
        )

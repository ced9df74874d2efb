"""Both parts of a background tuning: choose an engine for a running model, and load the model on it."""

import threading

from rerank_service.engine.cgroup_limits import memory_left as cgroup_memory_left
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning.improve import Improvement, choose_faster
from rerank_service.models.tuning.memory_estimate import MemoryLeft


def load_faster(
    options: ModelOptions, running: ServedModel, halt: threading.Event, memory_left: MemoryLeft = cgroup_memory_left
) -> Improvement | None:
    """Choose an engine, load the model on it, and keep the choice."""
    load = choose_faster(options, running, halt, memory_left)
    return None if load is None else load()

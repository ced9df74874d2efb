"""The composition root: build the parts from the settings, start, wait, drain, stop.

Rule 1: only here and in __main__ and commands/ is `Settings` known.
Rule 2: what starts is stopped by the block that started it, in reverse; a part that dies takes the process along.
"""

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from rerank_service.api.address import address
from rerank_service.api.api_keys_file import read_keys
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import rerank_v1 as grpc_edge
from rerank_service.api.grpc.tei_v1 import TeiMethods
from rerank_service.api.http.app import build_app
from rerank_service.api.http.routes import RerankRoutes, RestOptions
from rerank_service.api.http.server import listening as rest_listening
from rerank_service.engine.host import usable_cores
from rerank_service.engine.kinds import Precision, Provider
from rerank_service.lifecycle.hot_swap import improving, running
from rerank_service.lifecycle.shutdown import Patience, drain, stop_signals, unless_stopped
from rerank_service.models.hosted_names import HOSTED_NAMES
from rerank_service.models.loading import ModelOptions, load_better, load_selected
from rerank_service.models.registry import Names, Registry, ServedModel
from rerank_service.models.tuning.startup import Wish
from rerank_service.reranker import RequestLimits, Reranker
from rerank_service.scheduling.admission import Admission
from rerank_service.settings import Settings

STARTER = Path(__file__).parent / "models" / "starter"
"""The bundled model."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running server is reached."""

    grpc: str
    rest: str
    model: str
    """Name of the model served."""


OnReady = Callable[[Addresses], Awaitable[None]]


async def serve(settings: Settings, on_ready: OnReady) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        BundleInvalid: the model cannot be served.
        SettingsInvalid: the file of keys is wrong.
        OSError: an address is taken.
    """
    begun = time.perf_counter()
    stop = stop_signals()
    cores = usable_cores()
    os.environ.setdefault("RAYON_NUM_THREADS", str(cores))  # the tokenizer's threads, which it sizes to the host
    registry = Registry(any_model=settings.any_model, defaults=HOSTED_NAMES if settings.hosted_names else ())
    clock = asyncio.get_running_loop().time
    admission = Admission(settings.max_live_documents, settings.max_live_tokens, clock)
    known = read_keys(settings.api_keys_file) if settings.api_keys_file else []
    keys = Keys([key.get_secret_value() for key in settings.api_keys], known)
    with ThreadPoolExecutor(cores, thread_name_prefix="tokenizer") as tokenizing:
        reranker = Reranker(registry, admission, _request_limits(settings), tokenizing)
        routes = RerankRoutes(reranker, registry, keys, _rest_options(settings))
        methods = grpc_edge.RerankMethods(reranker, registry, _grpc_options(settings))
        tei = TeiMethods(reranker, registry, settings.default_timeout)
        async with (
            rest_listening(build_app(routes), settings.host, settings.rest_port) as rest,
            grpc_edge.listening((methods.service, *tei.services), keys, _grpc_options(settings)) as grpc,
        ):
            model = await unless_stopped(stop, partial(load_selected, model_options(settings)))
            if model is not None:
                gc.freeze()  # what is here stays: without that, parsing a large body walks through all of it
                async with running(registry, model) as lanes:
                    addresses = Addresses(
                        address(settings.host, grpc.port),
                        f"http://{address(settings.host, rest.port)}",
                        model.info.name,
                    )
                    routes.ready = True
                    await grpc.set_ready(ready=True)
                    _log_ready(addresses, model, time.perf_counter() - begun)
                    del model  # a better one may take its place, and its memory is free then
                    await on_ready(addresses)
                    better = partial(load_better, model_options(settings))
                    async with improving(registry, lanes, better) if settings.tune == "auto" else nullcontext():
                        await stop.get()
                    routes.ready = False
                    await grpc.set_ready(ready=False)
                    await drain(admission, (rest, grpc), stop, Patience(settings.drain_delay, settings.grace))
    _log.info("stopped")


def model_options(settings: Settings) -> ModelOptions:
    """What the settings say of the model."""
    return ModelOptions(
        folder=settings.model or STARTER,
        cache=_at_home(settings.cache),
        wish=Wish(Provider(settings.provider), Precision(settings.precision)),
        lanes=settings.lanes,
        max_batch_tokens=settings.max_batch_tokens,
        length_multiple=settings.length_multiple,
        max_batch_pairs=settings.max_batch_pairs,
        cuda_graphs=settings.cuda_graphs,
        names=Names(settings.model_name, settings.aliases),
        score_cache_bytes=settings.score_cache_bytes,
        tune_seconds=settings.tune_seconds,
    )


def _at_home(folder: Path) -> Path:
    """With ~ resolved; a user without a home, as in a container, has a cache that keeps nothing."""
    try:
        return folder.expanduser()
    except RuntimeError:
        return Path(os.devnull) / "cache"


def _log_ready(addresses: Addresses, model: ServedModel, seconds: float) -> None:
    _log.info(
        "ready",
        grpc=addresses.grpc,
        rest=addresses.rest,
        model=model.info.name,
        provider=model.info.provider,
        precision=model.info.precision,
        why=model.info.reason,
        export=model.info.verdict,
        seconds=round(seconds, 2),
    )


def _request_limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        max_documents=settings.max_documents,
        max_stream_documents=settings.max_stream_documents,
        max_query_chars=settings.max_query_chars,
        max_document_chars=settings.max_document_chars,
        document_tokens=settings.document_tokens,
        window_tokens=settings.window_tokens,
        max_windows=settings.max_windows,
    )


def _grpc_options(settings: Settings) -> grpc_edge.GrpcOptions:
    return grpc_edge.GrpcOptions(
        settings.host,
        settings.grpc_port,
        settings.max_message_bytes,
        settings.default_timeout,
        settings.max_connection_age,
    )


def _rest_options(settings: Settings) -> RestOptions:
    return RestOptions(settings.max_message_bytes, settings.default_timeout)

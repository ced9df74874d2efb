"""The scorer of `rerank batch`: a model in this process, a running server, or a Ray cluster."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rerank.v1 import rerank_pb2 as pb
from rerank_service.cli.model_arguments import given_model
from rerank_service.cli.model_errors import named_model
from rerank_service.cli.server_arguments import ChosenServer, api_key, given_server
from rerank_service.engine.host import limit_tokenizer_threads
from rerank_service.errors import ExtraMissing, SettingsInvalid
from rerank_service.models.loading import load_selected
from rerank_service.observability.logs import configure_logging
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType
from rerank_service.settings import read_settings
from rerank_service.tools.batch.bulk_scorer import BulkScorer
from rerank_service.tools.batch.job import ScoreParts, score_parts
from rerank_service.tools.batch.model_identity import model_identity, selected_identity
from rerank_service.tools.batch.remote_job import score_remotely
from rerank_service.tools.batch.remote_scorer import RemoteScorer
from rerank_service.tools.served_identity import reading
from rerank_service.wiring import request_limits, single_model_options


@dataclass(frozen=True, slots=True)
class Scoring:
    """A scorer that is ready."""

    identity: dict[str, str]
    """Names and values that the scores depend on, such as the digest of the model."""
    score: ScoreParts


@contextmanager
def scoring(arguments: argparse.Namespace) -> Iterator[Scoring]:
    """Load the model, or connect to the server or the cluster, and close it at the end of the block."""
    given = given_model(arguments)
    if arguments.ray is not None:
        if arguments.server is not None:
            raise SettingsInvalid("--ray and --server are mutually exclusive: give one of them")
        with _on_ray(arguments, given) as ready:
            yield ready
        return
    server = None if given else given_server(arguments)  # flags override RERANK_SERVER
    context = _local(arguments, given) if server is None else _remote(arguments, server)
    with context as ready:
        yield ready


def request_options(arguments: argparse.Namespace) -> RerankRequest:
    """Return the reading of documents and the score type, as a request whose query is not used."""
    return RerankRequest(
        query="unused",
        max_tokens_per_doc=arguments.max_tokens_per_doc,
        too_long=TooLong(arguments.too_long),
        score_type=ScoreType(arguments.score_type or ScoreType.PROBABILITY.value),
    )


@contextmanager
def _local(arguments: argparse.Namespace, given: dict[str, Any]) -> Iterator[Scoring]:
    limit_tokenizer_threads()
    settings = read_settings(**given)
    configure_logging(settings.log_format, settings.log_level)
    with named_model(settings.model):
        model = load_selected(single_model_options(settings))
    limits = request_limits(settings)
    with BulkScorer(model, limits, request_options(arguments)) as scorer:
        yield Scoring({**model_identity(model), **reading(limits)}, partial(score_parts, scorer))


@contextmanager
def _on_ray(arguments: argparse.Namespace, given: dict[str, Any]) -> Iterator[Scoring]:
    try:
        from rerank_service.tools.batch.ray_cluster import connected, plan_actors
        from rerank_service.tools.batch.ray_job import score_on_ray
        from rerank_service.tools.batch.ray_scorer import ActorOptions
    except ModuleNotFoundError as error:
        if error.name not in ("ray", "pyarrow"):
            raise
        raise ExtraMissing(error.name, "ray") from error
    settings = read_settings(**given)
    configure_logging(settings.log_format, settings.log_level)
    options, limits = single_model_options(settings), request_limits(settings)
    with named_model(settings.model):
        identity = selected_identity(options)
    with connected(arguments.ray) as node_cpus:
        pool = plan_actors(node_cpus, actors=arguments.actors, cpus=arguments.actor_cpus or settings.lanes)
        actor = ActorOptions(options, limits, request_options(arguments), identity)
        yield Scoring({**identity, **reading(limits)}, partial(score_on_ray, actor, pool))


@contextmanager
def _remote(arguments: argparse.Namespace, server: ChosenServer) -> Iterator[Scoring]:
    options = {
        "max_tokens_per_doc": arguments.max_tokens_per_doc,
        "too_long": pb.TooLong.Value(f"TOO_LONG_{arguments.too_long.upper()}"),
        "score_type": _score_type(arguments.score_type),
    }
    with RemoteScorer(
        server.address, api_key=api_key(arguments), model=arguments.served_model, options=options
    ) as scorer:
        identity = scorer.identity()
        yield Scoring(identity, partial(score_remotely, scorer, identity))


def _score_type(name: str | None) -> pb.ScoreType.ValueType:
    return pb.ScoreType.Value(f"SCORE_TYPE_{name.upper()}") if name else pb.SCORE_TYPE_UNSPECIFIED

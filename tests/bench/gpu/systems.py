"""Systems on a GPU: this server over both protocols, its bare engine, and two uses of sentence-transformers."""

from collections.abc import Mapping

from bench.systems import BARE, SERVED, SERVED_REST, Kind, System, Use

VARIABLES: Mapping[str, str] = {"RERANK_PROVIDER": "cuda", "RERANK_PRECISION": "fp16", "RERANK_TUNE": "off"}
"""Settings of this server and of its bare engine."""
PEER = "sentence-transformers"


def _peer(use: Use, precision: str, kwargs: Mapping[str, str]) -> System:
    load = {"backend": "torch", "model_kwargs": kwargs, "together": use is Use.AT_ITS_BEST}
    return System(
        name=PEER, peer=PEER, kind=Kind.RUNNER, use=use, precision=precision, runner="sentence_transformers", load=load
    )


IN_USE = _peer(Use.AS_USERS_DO, "fp32", {})
AT_ITS_BEST = _peer(Use.AT_ITS_BEST, "fp16", {"dtype": "float16"})
SYSTEMS = (SERVED, SERVED_REST, BARE, AT_ITS_BEST, IN_USE)
"""All systems, in the order of the turns."""

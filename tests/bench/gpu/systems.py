"""Systems beside the server on a GPU: its bare engine, and two uses of sentence-transformers."""

from collections.abc import Mapping

from bench.systems import BARE, Kind, System, Use

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
RUNNERS = (BARE, AT_ITS_BEST, IN_USE)
"""The systems beside the server, in the order of their turns."""

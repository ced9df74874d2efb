"""The CUDA provider on a machine without a GPU. tests/gpu runs it on a GPU."""

from pathlib import Path

import pytest

from rerank_service.engine import cuda
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.runtime import BUILT_IN_PROVIDERS
from rerank_service.errors import BundleInvalid
from support.small import write_small_model

_GPU = Engine(Provider.CUDA, Precision.FP16)
_GRAPHS = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)


def test_tf32_is_off() -> None:
    """TF32 has the range of fp32, but the mantissa of fp16."""
    for engine in (_GPU, _GRAPHS):
        assert cuda.provider_options(engine)["use_tf32"] == "0"
    assert cuda.provider_options(_GPU)["enable_cuda_graph"] == "0"
    assert cuda.provider_options(_GRAPHS)["enable_cuda_graph"] == "1"


def test_all_lanes_share_one_stream() -> None:
    """With a stream for each run, batches that ran at once got wrong scores. tests/gpu shows it on a GPU."""
    assert all(cuda.provider_options(engine)["use_ep_level_unified_stream"] == "1" for engine in (_GPU, _GRAPHS))


def test_missing_cuda_names_the_extra_to_install() -> None:
    """The check needs no model."""
    assert cuda.unavailable_reason(Precision.INT8) == "the CUDA provider is not used with int8"
    assert "the extra gpu" in (cuda.unavailable_reason(Precision.FP16) or "")
    assert cuda.gpu_names() == ()


@pytest.mark.skipif("CUDAExecutionProvider" in BUILT_IN_PROVIDERS, reason="this onnxruntime has CUDA")
def test_session_never_computes_on_the_cpu(tmp_path: Path) -> None:
    """Without CUDA in onnxruntime, or on the machine, it is an error."""
    graph = write_small_model(tmp_path / "small").graph
    with pytest.raises(BundleInvalid, match="'CUDAExecutionProvider' is not in available"):
        cuda.open_runner(graph, _GPU, lanes=1)

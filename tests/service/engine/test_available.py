"""Which engines there are here, and what is said of the others."""

import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine import cpu as cpu_provider
from rerank_service.engine import openvino
from rerank_service.engine.available import ENGINES, Skipped, offer, reasons
from rerank_service.engine.host import Cpu
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.throughput import logits
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from support.limits import batch_limits

LIMITS = batch_limits(min_length_ratio=0.0)
DRIFT = {Precision.FP32: 1e-4, Precision.BF16: 0.2, Precision.INT8: 0.6}
"""Of a logit, from fp32."""
NEIGHBOURS = {Precision.FP32: 1e-5, Precision.BF16: 0.05, Precision.INT8: 1e-5}
"""Of a logit, by what else is in the batch."""


def test_every_engine_is_offered_or_skipped_with_a_reason() -> None:
    """fp32 on the CPU always works."""
    found = offer(Provider.AUTO, Precision.AUTO)
    assert {*found.engines, *(one.engine for one in found.skipped)} == set(ENGINES)
    assert CPU_FP32 in found.engines
    assert all(one.why for one in found.skipped)


@pytest.mark.parametrize(
    ("provider", "precision", "why"),
    [
        (Provider.CUDA, Precision.FP16, "--provider cuda --precision fp16 does not work here: cuda fp16: "),
        (Provider.CPU, Precision.FP16, "there is no such engine"),
        (Provider.OPENVINO, Precision.INT8, "there is no such engine"),
    ],
)
def test_what_was_asked_for_and_is_not_there_is_an_error(provider: Provider, precision: Precision, why: str) -> None:
    """It says what this onnxruntime has."""
    with pytest.raises(BundleInvalid, match=why) as caught:
        offer(provider, precision)
    assert "CPUExecutionProvider" in str(caught.value)


AMX = Cpu("Intel Xeon", frozenset({"avx2", "avx512_bf16", "amx_bf16"}))
AVX2 = Cpu("Intel Core", frozenset({"avx2"}))
ZEN4 = Cpu("AMD EPYC", frozenset({"avx2", "avx512_bf16"}))
STOCK = ("AzureExecutionProvider", "CPUExecutionProvider")
OPENVINO = ("OpenVINOExecutionProvider", "CPUExecutionProvider")
NO_BF16 = "this processor has neither amx_bf16 nor avx512_bf16"
NO_DEVICE = (
    "the OpenVINO plugin offers no device on this processor (AMD EPYC); "
    "the extra openvino brings an onnxruntime that does"
)
NO_PLUGIN = "onnxruntime-ep-openvino is not installed"


@pytest.mark.parametrize(
    ("cpu", "built_in", "library", "devices", "bf16", "fp32"),
    [
        (AMX, STOCK, "plugin.so", ["cpu"], None, None),
        (AVX2, STOCK, "plugin.so", ["cpu"], NO_BF16, None),
        (ZEN4, STOCK, "plugin.so", [], NO_DEVICE, NO_DEVICE),
        (ZEN4, STOCK, None, [], NO_PLUGIN, NO_PLUGIN),
        (AMX, OPENVINO, None, [], None, None),
        (AVX2, OPENVINO, None, [], NO_BF16, None),
        (ZEN4, OPENVINO, None, [], None, None),
    ],
)
def test_openvino_on_each_kind_of_processor(
    monkeypatch: pytest.MonkeyPatch,
    cpu: Cpu,
    built_in: tuple[str, ...],
    library: str | None,
    devices: list[str],
    bf16: str | None,
    fp32: str | None,
) -> None:
    """Provider lists recorded with the stock onnxruntime and its plugin, and with OpenVINO built in."""
    monkeypatch.setattr(openvino, "cpu", lambda: cpu)
    monkeypatch.setattr(openvino, "BUILT_IN_PROVIDERS", built_in)
    monkeypatch.setattr(openvino, "_plugin_devices", lambda: devices)
    monkeypatch.setattr(openvino, "_plugin_library", lambda: library)
    assert openvino.missing(Precision.BF16) == bf16
    assert openvino.missing(Precision.FP32) == fp32


def test_a_registered_plugin_is_not_taken_for_a_built_in_provider() -> None:
    """onnxruntime lists it among the available ones, where it offers a device or not."""
    before = openvino._is_built_in()
    openvino.missing(Precision.FP32)  # registers the plugin
    assert openvino._is_built_in() == before
    if openvino._plugin_library() is not None:
        assert not openvino._is_built_in()


def test_a_plugin_that_does_not_load_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no error of all engines."""
    monkeypatch.setattr(openvino, "BUILT_IN_PROVIDERS", STOCK)
    monkeypatch.setattr(openvino, "_plugin_devices", openvino._plugin_devices.__wrapped__)
    monkeypatch.setattr(openvino, "_plugin_library", lambda: "/nowhere/none.so")
    assert "the OpenVINO plugin does not load: " in (openvino.missing(Precision.FP32) or "")


def test_arm_computes_in_bf16_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU provider, x86-64 cannot."""
    monkeypatch.setattr(cpu_provider, "cpu", lambda: Cpu("Neoverse", frozenset({"bf16"})))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cpu_provider.missing(Precision.BF16) is None
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert cpu_provider.missing(Precision.BF16) == "onnxruntime's CPU provider has bf16 on Arm only"


@pytest.mark.parametrize("engine", offer(Provider.AUTO, Precision.AUTO).engines, ids=str)
def test_every_engine_that_is_offered_scores(engine: Engine, starter: Bundle, tmp_path: Path) -> None:
    """From two threads at once, near to fp32, and the same alone as in a padded batch."""
    encoder = CrossEncoder(graph_for(starter, engine, Cache(tmp_path)), engine, lanes=2)
    tokenizer = PairTokenizer(starter.tokenizer, max_tokens=64)
    documents = ["Paris is the capital of France.", "Rome", "a " * 40, "The capital of Peru is Lima. " * 3]
    pairs = tokenizer.encode_documents(tokenizer.encode_query("capital of France"), documents)
    exact = logits(CrossEncoder(starter.graph).score, pairs, LIMITS, 0)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(logits, encoder.score, pairs, LIMITS, 0) for _ in range(4)]
    alone = [float(logits(encoder.score, [pair], LIMITS, 0)[0]) for pair in pairs]
    for run in runs:
        assert np.abs(run.result() - exact).max() < DRIFT[engine.precision]
        assert np.abs(run.result() - alone).max() < NEIGHBOURS[engine.precision]


def test_a_reason_is_said_once_for_all_that_it_keeps_out() -> None:
    """Else a line of the log has it for each precision."""
    fp16, fp32, bf16 = (Engine(Provider.CUDA, one) for one in (Precision.FP16, Precision.FP32, Precision.BF16))
    told = reasons([Skipped(fp16, "no GPU"), Skipped(bf16, "no bf16"), Skipped(fp32, "no GPU")])
    assert told == ("cuda fp16, cuda fp32: no GPU", "cuda bf16: no bf16")

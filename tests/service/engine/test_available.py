"""The engines of this machine, and the reasons why others are not available."""

import platform
import re
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine import cpu as cpu_provider
from rerank_service.engine import openvino, runtime
from rerank_service.engine.available import ENGINES, SkippedEngine, available_engines, reasons, runtime_packages
from rerank_service.engine.batch_defaults import default_limits
from rerank_service.engine.host import Cpu
from rerank_service.engine.kinds import CPU_FP32, ORT_NAME, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.throughput import logits
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for

ROOT = Path(__file__).parents[3]
DRIFT = {Precision.FP32: 1e-4, Precision.BF16: 0.2, Precision.INT8: 0.6}
"""Maximum difference of a logit from fp32."""
BATCH_EFFECT = {Precision.FP32: 1e-5, Precision.BF16: 0.05, Precision.INT8: 1e-5}
"""Maximum difference of a logit between a pair alone and in a batch."""


def test_each_precision_has_bounds() -> None:
    """Without a bound, a new engine could not be tested. tests/gpu has the bounds of CUDA."""
    precisions = {engine.precision for engine in ENGINES if engine.provider is not Provider.CUDA}
    assert precisions == DRIFT.keys() == BATCH_EFFECT.keys()


def test_every_provider_has_an_engine() -> None:
    """A provider or a precision that no engine has would be accepted as a setting and fail."""
    assert {engine.provider for engine in ENGINES} == set(Provider) - {Provider.AUTO} == ORT_NAME.keys()
    assert {engine.precision for engine in ENGINES} == set(Precision) - {Precision.AUTO}


def test_packages_of_onnxruntime_are_those_of_the_providers() -> None:
    """Their versions are part of the key of a tuning. The extras of pyproject.toml install them."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    requirements = [re.match(r"[\w.-]+", line) for name in ("cpu", "openvino", "gpu") for line in extras[name]]
    names = {match[0] for match in requirements if match is not None}
    assert {name for name in names if name.startswith("onnxruntime")} == set(runtime_packages())


def test_each_engine_is_available_or_skipped_with_a_reason() -> None:
    """fp32 on the CPU is always available."""
    available = available_engines(Provider.AUTO, Precision.AUTO)
    assert {*available.engines, *(skipped.engine for skipped in available.skipped)} == set(ENGINES)
    assert CPU_FP32 in available.engines
    assert all(skipped.reason for skipped in available.skipped)


@pytest.mark.parametrize(
    ("provider", "precision", "why"),
    [
        (Provider.CUDA, Precision.FP16, "--provider cuda --precision fp16 does not work here: cuda fp16: "),
        (Provider.CPU, Precision.FP16, "there is no such engine"),
        (Provider.OPENVINO, Precision.FP16, "there is no such engine"),
    ],
)
def test_unavailable_requested_engine_is_an_error(provider: Provider, precision: Precision, why: str) -> None:
    """The message lists the providers of this onnxruntime."""
    with pytest.raises(BundleInvalid, match=why) as caught:
        available_engines(provider, precision)
    assert "CPUExecutionProvider" in str(caught.value)


AMX = Cpu("Intel Xeon", frozenset({"avx2", "avx512_vnni", "avx512_bf16", "amx_bf16"}))
ICE_LAKE = Cpu("Intel Xeon", frozenset({"avx2", "avx512_vnni"}))
ALDER_LAKE = Cpu("Intel Core", frozenset({"avx2", "avx_vnni"}))
AVX2 = Cpu("Intel Core", frozenset({"avx2"}))
ZEN4 = Cpu("AMD EPYC", frozenset({"avx2", "avx512_vnni", "avx512_bf16"}))
ZEN3 = Cpu("AMD EPYC", frozenset({"avx2"}))
STOCK = ("AzureExecutionProvider", "CPUExecutionProvider")
OPENVINO = ("OpenVINOExecutionProvider", "CPUExecutionProvider")
NO_BF16 = "this processor has neither amx_bf16 nor avx512_bf16"
NO_VNNI = "this processor has neither avx512_vnni nor avx_vnni"
NO_DEVICE = (
    "the OpenVINO plugin offers no device on this processor (AMD EPYC); "
    "install the extra openvino, whose onnxruntime supports it"
)
NO_PLUGIN = "onnxruntime-ep-openvino is not installed"


@pytest.mark.parametrize(
    ("cpu", "built_in", "library", "devices", "bf16", "int8", "fp32"),
    [
        (AMX, STOCK, "plugin.so", ["cpu"], None, None, None),
        (ICE_LAKE, STOCK, "plugin.so", ["cpu"], NO_BF16, None, None),
        (ALDER_LAKE, STOCK, "plugin.so", ["cpu"], NO_BF16, None, None),
        (AVX2, STOCK, "plugin.so", ["cpu"], NO_BF16, NO_VNNI, None),
        (ZEN4, STOCK, "plugin.so", [], NO_DEVICE, NO_DEVICE, NO_DEVICE),
        (ZEN4, STOCK, None, [], NO_PLUGIN, NO_PLUGIN, NO_PLUGIN),
        (AMX, OPENVINO, None, [], None, None, None),
        (AVX2, OPENVINO, None, [], NO_BF16, NO_VNNI, None),
        (ZEN4, OPENVINO, None, [], None, None, None),
        (ZEN3, OPENVINO, None, [], NO_BF16, NO_VNNI, None),
    ],
)
def test_openvino_reports_why_a_processor_is_not_supported(
    monkeypatch: pytest.MonkeyPatch,
    cpu: Cpu,
    built_in: tuple[str, ...],
    library: str | None,
    devices: list[str],
    bf16: str | None,
    int8: str | None,
    fp32: str | None,
) -> None:
    """Provider lists recorded with the stock onnxruntime and its plugin, and with OpenVINO built in."""
    monkeypatch.setattr(openvino, "cpu", lambda: cpu)
    monkeypatch.setattr(openvino, "BUILT_IN_PROVIDERS", built_in)
    monkeypatch.setattr(openvino, "_plugin_devices", lambda: devices)
    monkeypatch.setattr(openvino, "_plugin_library", lambda: library)
    assert openvino.unavailable_reason(Precision.BF16) == bf16
    assert openvino.unavailable_reason(Precision.INT8) == int8
    assert openvino.unavailable_reason(Precision.FP32) == fp32


def test_registered_plugin_is_not_a_built_in_provider() -> None:
    """onnxruntime lists a registered plugin as available even if it offers no device."""
    before = openvino._is_built_in()
    openvino.unavailable_reason(Precision.FP32)  # registers the plugin
    assert openvino._is_built_in() == before
    if openvino._plugin_library() is not None:
        assert not openvino._is_built_in()


def test_plugin_is_registered_once_by_threads_that_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime rejects a second registration."""
    together, registered = threading.Barrier(2), list[str]()
    monkeypatch.setattr(openvino, "_registered_devices", cache(openvino._registered_devices.__wrapped__))
    monkeypatch.setattr(openvino, "_plugin_library", lambda: "library")
    monkeypatch.setattr(runtime.ort, "register_execution_provider_library", lambda *_: registered.append("once"))
    monkeypatch.setattr(runtime.ort, "get_ep_devices", list)

    def first_call() -> object:
        together.wait(10)
        return openvino._plugin_devices()

    with ThreadPoolExecutor(2) as threads:
        assert [call.result() for call in [threads.submit(first_call) for _ in range(2)]] == [[], []]
    assert registered == ["once"]


def test_plugin_that_does_not_load_is_reported_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error does not prevent the use of other engines."""
    monkeypatch.setattr(openvino, "BUILT_IN_PROVIDERS", STOCK)
    monkeypatch.setattr(openvino, "_plugin_devices", openvino._registered_devices.__wrapped__)
    monkeypatch.setattr(openvino, "_plugin_library", lambda: "/nowhere/none.so")
    assert "the OpenVINO plugin does not load: " in (openvino.unavailable_reason(Precision.FP32) or "")


def test_cpu_provider_has_bf16_on_arm_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor must have the feature bf16."""
    monkeypatch.setattr(cpu_provider, "cpu", lambda: Cpu("Neoverse", frozenset({"bf16"})))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cpu_provider.unavailable_reason(Precision.BF16) is None
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert cpu_provider.unavailable_reason(Precision.BF16) == "onnxruntime's CPU provider has bf16 on Arm only"


@pytest.mark.parametrize("engine", available_engines(Provider.AUTO, Precision.AUTO).engines, ids=str)
def test_each_available_engine_scores_close_to_fp32(engine: Engine, starter: Bundle, tmp_path: Path) -> None:
    """Two threads score at the same time. A pair has the same score alone and in a padded batch."""
    encoder = CrossEncoder(graph_for(starter, engine, Cache(tmp_path)), engine, lanes=2)
    limits = replace(default_limits(engine), min_length_ratio=0.0)
    tokenizer = PairTokenizer(starter.tokenizer, max_tokens=64)
    documents = ["Paris is the capital of France.", "Rome", "a " * 40, "The capital of Peru is Lima. " * 3]
    pairs = tokenizer.encode_documents(tokenizer.encode_query("capital of France"), documents)
    exact = logits(CrossEncoder(starter.graph).score, pairs, limits, 0)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(logits, encoder.score, pairs, limits, 0) for _ in range(4)]
    alone = [float(logits(encoder.score, [pair], limits, 0)[0]) for pair in pairs]
    for run in runs:
        assert np.abs(run.result() - exact).max() < DRIFT[engine.precision]
        assert np.abs(run.result() - alone).max() < BATCH_EFFECT[engine.precision]


def test_engines_with_the_same_reason_share_one_line() -> None:
    """Otherwise a log line would repeat the reason for each precision."""
    fp16, fp32, bf16 = (
        Engine(Provider.CUDA, precision) for precision in (Precision.FP16, Precision.FP32, Precision.BF16)
    )
    lines = reasons([SkippedEngine(fp16, "no GPU"), SkippedEngine(bf16, "no bf16"), SkippedEngine(fp32, "no GPU")])
    assert lines == ("cuda fp16, cuda fp32: no GPU", "cuda bf16: no bf16")

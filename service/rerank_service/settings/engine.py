"""Settings of the engine, lanes and batches."""

from pathlib import Path
from typing import ClassVar, Literal

from rerank_service.settings.field_types import CacheFolder, Count, Lanes, PositiveSeconds
from rerank_service.settings.group import SettingsGroup


class EngineSettings(SettingsGroup):
    """Settings of the engine, lanes and batches."""

    heading: ClassVar[str] = "Engine and batches"

    provider: Literal["auto", "cpu", "openvino", "cuda"] = "auto"
    """Part of ONNX Runtime that computes. auto: the provider of the fastest engine whose ranking matches fp32. A
    provider that is set and does not work here is an error."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """Number format of the computation. auto: the precision of the fastest engine whose ranking matches fp32: relevance
    loss of at most 0.002 in the mean (1 - nDCG@10, with fp32 probabilities as gains). fp32: exact. int8 is computed by
    `openvino` or `cpu`. `rerank tune` shows speed and loss of each one on this machine."""
    tune: Literal["auto", "off"] = "auto"
    """auto: the first start measures the engines in the background, to find the fastest for `auto`. off: no
    measurement. Results of earlier measurements and of `rerank tune` are used in both cases."""
    tune_seconds: PositiveSeconds = 60.0
    """Maximum time of that measurement, in seconds. It ends earlier when each engine is decided. A large model may
    need more than the default for a result: then the server stops the measurement early, and the next start repeats
    it."""
    cache: CacheFolder = Path("~/.cache/rerank")
    """Folder for tuning results and derived graphs. If it cannot be written, each start measures and derives again."""
    lanes: Lanes | None = None
    """Number of batches that run at the same time, from 1 to 1024. Unset: the tuned number, else one per core that the
    process may use; on a GPU 2."""
    max_batch_tokens: Count | None = None
    """Maximum size of a batch in padded tokens: pairs times tokens of the longest pair. A small batch keeps waiting
    times short. Unset: the tuned number, else 512, or 1,024 for OpenVINO in bf16 and decoders with shared prefixes; on
    a GPU 16,384, with CUDA graphs 4,096. On a GPU without enough memory for a batch, the server halves the batch, and
    makes later batches smaller."""
    max_batch_pairs: Count | None = None
    """Maximum number of pairs in a batch. Unset: 64; on a GPU 512."""
    length_multiple: Count | None = None
    """Pairs are padded to a multiple of this number of tokens. A GPU may be faster with 8 or 16. Unset: the tuned
    number, else 4; on a GPU 8, with CUDA graphs 32. `openvino int8` and `openvino bf16` round it up to a multiple of
    16: then padding changes no score."""
    cuda_graphs: bool = False
    """On a GPU, record the computation of small batches once per shape as a CUDA graph, and replay it. This saves
    kernel launches, most of the time of a small model, but computes the padding, too."""

"""A bundle with graphs for several precisions: made, compared with torch, and served."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from rerank_export.errors import ExportFailed
from rerank_export.export_request import ExportRequest
from rerank_export.exporter import Exported, export
from rerank_export.gate.gate_options import GateOptions
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.batch_defaults import CPU_LIMITS
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.startup import EngineRequest
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batching import EncodedPair, collate

CPU_INT8 = Engine(Provider.CPU, Precision.INT8)
CUDA_FP16 = Engine(Provider.CUDA, Precision.FP16)
CUDA_GRAPHS = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)
QUERY = "which planets line up"
DOCUMENTS = ["a launch window to mars", "ok", "over the lazy dog " * 40, "fiebre 🚀", ""]


@pytest.fixture(scope="module")
def gate_options(
    bundles: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], GateOptions]:
    """Give options with queries whose documents get clearly different scores from an architecture's model.

    Models so small give nearly equal scores to the documents of the built-in set.
    """

    def write(family: str) -> GateOptions:
        path = tmp_path_factory.mktemp("parity") / "apart.jsonl"
        path.write_text(
            "".join(f"{json.dumps(_apart(bundles(family), query))}\n" for query in parity_set.queries()[:4])
        )
        return GateOptions(parity=path, queries=None)

    return write


def _apart(bundle: Bundle, query: parity_set.Query) -> dict[str, Any]:
    """Return a query with five of its documents: the worst, the best, and three between."""
    logits = _score(bundle, "model.onnx", _pairs(bundle, query.text, query.documents))
    ranked = [query.documents[at] for at in np.argsort(logits)]
    return {"query": query.text, "documents": [ranked[place * (len(ranked) - 1) // 4] for place in range(5)]}


@pytest.fixture(scope="module")
def exported(
    sources: Callable[[str], Path], gate_options: Callable[[str], GateOptions], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """The export of a BERT in all precisions."""
    out = tmp_path_factory.mktemp("all") / "all"
    return export(ExportRequest(str(sources("bert")), out, precisions="fp32,fp16,int8", gate=gate_options("bert")))


@pytest.fixture(scope="module")
def bundle(exported: Exported) -> Bundle:
    """The bundle as a server opens it."""
    return open_bundle(exported.bundle.folder)


def _pairs(bundle: Bundle, query: str = QUERY, documents: Sequence[str] = DOCUMENTS) -> list[EncodedPair]:
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=bundle.manifest.max_tokens)
    return tokenizer.encode_documents(tokenizer.encode_query(query), documents)


def _score(bundle: Bundle, file: str, pairs: list[EncodedPair]) -> NDArray[np.float32]:
    batch = collate(pairs, pad_id=bundle.manifest.pad_id, limits=CPU_LIMITS)
    return CrossEncoder(bundle.folder / file).score(batch)


def test_each_precision_has_its_graphs(bundle: Bundle) -> None:
    """The manifest names provider and layout, and has the results of the graphs that run here."""
    listed = [(graph.file, graph.precision, graph.provider, graph.layout) for graph in bundle.manifest.variants]
    assert listed == [
        ("model.onnx", "fp32", None, None),
        ("model.int8.onnx", "int8", "cpu", None),
        ("model.fp16.onnx", "fp16", "cuda", None),
        ("model.fp16-packed.onnx", "fp16", "cuda", "packed"),
    ]
    reference, int8, padded, packed = bundle.manifest.variants
    assert [graph.parity is not None and graph.parity > 0.995 for graph in (reference, int8, padded)] == [True] * 3
    assert (reference.speed, packed.parity, packed.speed) == (1.0, None, None)
    assert bundle.manifest.verdict == bundle.verdict == "passed"


def test_shared_weights_are_stored_once(bundle: Bundle) -> None:
    """The int8 graph refers to the reference's embeddings, the packed graph to all weights of the padded one."""

    def files(graph: str) -> set[str]:
        model = onnx.load(bundle.folder / graph, load_external_data=False)
        return {ExternalDataInfo(weight).location for weight in model.graph.initializer if uses_external_data(weight)}

    assert files("model.int8.onnx") == {"model.onnx.data", "model.int8.onnx.data"}
    assert files("model.fp16-packed.onnx") == {"model.fp16.onnx.data"}
    assert not (bundle.folder / "model.fp16-packed.onnx.data").exists()


def test_report_has_parity_set_and_results(bundle: Bundle) -> None:
    """It contains no path of this machine."""
    text = (bundle.folder / "report.json").read_text()
    report = json.loads(text)
    assert (report["verdict"], report["not_made"]) == ("passed", [])
    assert report["parity_set"]["name"] == "apart.jsonl"
    assert [report["parity_set"][name] for name in ("queries", "of_queries", "pairs")] == [4, 4, 20]
    assert [entry["verdict"] for entry in report["variants"]] == ["passed", "passed", "passed", "not run"]
    reference, int8, *_ = report["variants"]
    assert reference["from_torch"]["max_difference"] < 1e-4
    assert int8["from_torch"]["ranking"].keys() == int8["tolerance"]["ranking"].keys()
    assert all(value <= int8["tolerance"]["ranking"][name] for name, value in int8["from_torch"]["ranking"].items())
    assert -1 <= int8["from_torch"]["tau"] <= 1
    assert int8["invariance"].keys() == {"padding", "batch", "order"}
    assert int8["products_in_8_bits"] > 0
    assert reference["pairs_per_second"] > 0
    assert str(bundle.folder.parent) not in text


@pytest.mark.parametrize("file", ["model.onnx", "model.int8.onnx", "model.fp16.onnx"])
def test_scores_do_not_depend_on_neighbours(file: str, bundle: Bundle) -> None:
    """Score a pair alone, in a batch, and in the reversed batch."""
    pairs = _pairs(bundle)
    together = _score(bundle, file, pairs)
    alone = np.concatenate([_score(bundle, file, [pair]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=1e-5 if file == "model.onnx" else 5e-3)
    np.testing.assert_allclose(_score(bundle, file, pairs[::-1])[::-1], together, atol=1e-5)


def test_engine_runs_the_graph_exported_for_it(bundle: Bundle, tmp_path: Path) -> None:
    """No graph is derived. CUDA graphs need the graph with padding."""
    cache = Cache(tmp_path / "cache")
    found = {engine: graph_for(bundle, engine, cache) for engine in (CPU_INT8, CUDA_FP16, CUDA_GRAPHS)}
    assert found == {
        CPU_INT8: bundle.folder / "model.int8.onnx",
        CUDA_FP16: bundle.folder / "model.fp16-packed.onnx",
        CUDA_GRAPHS: bundle.folder / "model.fp16.onnx",
    }
    assert not (tmp_path / "cache").exists()


def test_server_scores_with_the_exported_int8_graph(bundle: Bundle, tmp_path: Path) -> None:
    """The scores are bit for bit those of the graph, and the verdict is that of the report."""
    options = ModelOptions(
        folder=bundle.folder, cache=tmp_path / "cache", requested=EngineRequest(Provider.CPU, Precision.INT8)
    )
    served = load_selected(options)
    assert (served.info.precision, served.info.verdict) == ("int8", "passed")
    assert not (tmp_path / "cache").exists()
    batch = collate(_pairs(bundle), pad_id=bundle.manifest.pad_id, limits=CPU_LIMITS)
    expected = _score(bundle, "model.int8.onnx", _pairs(bundle))
    np.testing.assert_array_equal(served.encoder.score(batch), expected)
    assert not np.array_equal(expected, _score(bundle, "model.onnx", _pairs(bundle)))


@pytest.mark.parametrize("file", ["model.int8.onnx", "model.int8.onnx.data", "model.fp16.onnx", "report.json"])
def test_bundle_with_a_changed_graph_or_report_is_rejected(file: str, bundle: Bundle, tmp_path: Path) -> None:
    """The digest in the manifest differs."""
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    with (folder / file).open("ab") as opened:
        opened.write(b" ")
    with pytest.raises(BundleInvalid, match=f"/{file} "):
        open_bundle(folder)


def test_digest_does_not_depend_on_speed(exported: Exported, bundle: Bundle, tmp_path: Path) -> None:
    """Speed differs from export to export; the scores do not."""
    variants = tuple(graph.model_copy(update={"speed": 7.0}) for graph in bundle.manifest.variants)
    files = bundle.manifest.files | {"report.json": "0" * 64}
    other = bundle.manifest.model_copy(update={"variants": variants, "files": files})
    assert other.digest == bundle.digest
    assert bundle.manifest.model_copy(update={"variants": variants[:1]}).digest != bundle.digest


def test_without_fp32_the_weights_take_half_the_bytes(
    sources: Callable[[str], Path],
    bundles: Callable[[str], Bundle],
    gate_options: Callable[[str], GateOptions],
    tmp_path: Path,
) -> None:
    """They are rounded to fp16 and computed in fp32. The limits are those of fp16."""
    done = export(ExportRequest(str(sources("bert")), tmp_path / "out", precisions="fp16", gate=gate_options("bert")))
    reference = done.bundle.manifest.variants[0]
    assert (reference.file, reference.precision, reference.weights) == ("model.onnx", "fp32", "fp16")
    assert 1e-6 < done.verified.edges.max_difference < 0.1
    sizes = [(made.folder / "model.onnx.data").stat().st_size for made in (done.bundle, bundles("bert"))]
    assert sizes[0] / sizes[1] == pytest.approx(0.5, abs=0.05)


def test_graph_that_cannot_be_packed_is_reported(
    sources: Callable[[str], Path], gate_options: Callable[[str], GateOptions], tmp_path: Path
) -> None:
    """The fp16 graph of a ModernBERT keeps its padding."""
    source, options = str(sources("modernbert")), gate_options("modernbert")
    done = export(ExportRequest(source, tmp_path / "out", precisions="fp32,fp16", gate=options))
    assert [graph.file for graph in done.bundle.manifest.variants] == ["model.onnx", "model.fp16.onnx"]
    assert done.verified.report["not_made"] == ["model.fp16-packed.onnx: no attention could be fused"]


@pytest.mark.parametrize(
    ("precisions", "reason"),
    [
        ("fp32,int4", "--precisions 'fp32,int4': unknown int4; choose from fp32, fp16, int8"),
        ("int8", "--precisions 'int8' has neither fp32 nor fp16: add one for the reference graph"),
        ("", "--precisions '' has neither fp32 nor fp16: add one for the reference graph"),
    ],
)
def test_invalid_precisions_are_refused(precisions: str, reason: str, tmp_path: Path) -> None:
    """They are checked before the download."""
    with pytest.raises(ExportFailed) as refused:
        export(ExportRequest("no/model", tmp_path / "out", precisions=precisions))
    assert str(refused.value) == reason

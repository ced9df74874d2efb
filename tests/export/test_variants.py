"""A bundle with graphs for several precisions: made, compared with torch, served."""

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

from rerank_export import sensitive, verify
from rerank_export.errors import ExportFailed
from rerank_export.exporter import Exported, export
from rerank_export.gate import tolerance
from rerank_export.gate.parity_set import encode, read_parity_set
from rerank_export.gate.tolerance import Tolerance
from rerank_export.sensitive import Sensitivity
from rerank_export.verify import Checks
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.loading import ModelOptions, load_selected
from rerank_service.models.tuning import parity_set
from rerank_service.models.tuning.startup import EngineRequest
from rerank_service.models.variants.cache import Cache
from rerank_service.models.variants.derive import graph_for
from rerank_service.scheduling.batching import BatchLimits, EncodedPair, collate

CPU_INT8 = Engine(Provider.CPU, Precision.INT8)
CUDA_FP16 = Engine(Provider.CUDA, Precision.FP16)
CUDA_GRAPHS = Engine(Provider.CUDA, Precision.FP16, cuda_graphs=True)
QUERY = "which planets line up"
DOCUMENTS = ["a launch window to mars", "ok", "over the lazy dog " * 40, "fiebre 🚀", ""]
NEVER = Tolerance(difference=None, tau=2.0, top_10=None, invariance=1.0)


@pytest.fixture(scope="module")
def checks(bundles: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checks]:
    """Queries whose documents a family's model tells well apart. Those of the built-in set are all but equal to models
    so small, and how they are cut into tokens differs from run to run."""

    def write(family: str) -> Checks:
        path = tmp_path_factory.mktemp("parity") / "apart.jsonl"
        path.write_text(
            "".join(f"{json.dumps(_apart(bundles(family), query))}\n" for query in parity_set.queries()[:4])
        )
        return Checks(parity=path, queries=None)

    return write


def _apart(bundle: Bundle, query: parity_set.Query) -> dict[str, Any]:
    """A query with five of its documents: the worst, the best, and three between."""
    logits = _score(bundle, "model.onnx", _pairs(bundle, query.text, query.documents))
    ranked = [query.documents[at] for at in np.argsort(logits)]
    return {"query": query.text, "documents": [ranked[place * (len(ranked) - 1) // 4] for place in range(5)]}


@pytest.fixture(scope="module")
def exported(
    sources: Callable[[str], Path], checks: Callable[[str], Checks], tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """A BERT with all there is."""
    out = tmp_path_factory.mktemp("all") / "all"
    return export(str(sources("bert")), out, precisions="fp32,fp16,int8", checks=checks("bert"))


@pytest.fixture(scope="module")
def bundle(exported: Exported) -> Bundle:
    """As a server opens it."""
    return open_bundle(exported.bundle.folder)


def _pairs(bundle: Bundle, query: str = QUERY, documents: Sequence[str] = DOCUMENTS) -> list[EncodedPair]:
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=bundle.manifest.max_tokens)
    return tokenizer.encode_documents(tokenizer.encode_query(query), documents)


def _score(bundle: Bundle, file: str, pairs: list[EncodedPair]) -> NDArray[np.float32]:
    batch = collate(pairs, pad_id=bundle.manifest.pad_id, limits=BatchLimits())
    return CrossEncoder(bundle.folder / file).score(batch)


def test_each_precision_has_its_graphs(bundle: Bundle) -> None:
    """With what they are for, and what the gate found of those that run here."""
    said = [(one.file, one.precision, one.provider, one.layout) for one in bundle.manifest.variants]
    assert said == [
        ("model.onnx", "fp32", None, None),
        ("model.int8.onnx", "int8", "cpu", None),
        ("model.fp16.onnx", "fp16", "cuda", None),
        ("model.fp16-packed.onnx", "fp16", "cuda", "packed"),
    ]
    reference, int8, padded, packed = bundle.manifest.variants
    assert [one.parity is not None and one.parity > 0.995 for one in (reference, int8, padded)] == [True] * 3
    assert (reference.speed, packed.parity, packed.speed) == (1.0, None, None)
    assert bundle.manifest.verdict == bundle.verdict == "passed"


def test_weights_that_graphs_share_are_stored_once(bundle: Bundle) -> None:
    """int8 refers to the reference's embeddings, the packed graph to all of the padded one's."""

    def files(graph: str) -> set[str]:
        model = onnx.load(bundle.folder / graph, load_external_data=False)
        return {ExternalDataInfo(one).location for one in model.graph.initializer if uses_external_data(one)}

    assert files("model.int8.onnx") == {"model.onnx.data", "model.int8.onnx.data"}
    assert files("model.fp16-packed.onnx") == {"model.fp16.onnx.data"}
    assert not (bundle.folder / "model.fp16-packed.onnx.data").exists()


def test_the_report_says_what_was_compared_and_what_came_of_it(bundle: Bundle) -> None:
    """Of each graph; nothing in it is of this machine's folders, or has a date."""
    text = (bundle.folder / "report.json").read_text()
    report = json.loads(text)
    assert (report["verdict"], report["not_made"]) == ("passed", [])
    assert report["parity_set"]["name"] == "apart.jsonl"
    assert [report["parity_set"][name] for name in ("queries", "of_queries", "pairs")] == [4, 4, 20]
    assert [one["verdict"] for one in report["variants"]] == ["passed", "passed", "passed", "not run"]
    reference, int8, *_ = report["variants"]
    assert reference["from_torch"]["max_difference"] < 1e-4
    assert int8["from_torch"]["tau"] >= 0.995
    assert int8["invariance"].keys() == {"padding", "batch", "order"}
    assert int8["products_in_8_bits"] > 0
    assert reference["pairs_per_second"] > 0
    assert str(bundle.folder.parent) not in text


@pytest.mark.parametrize("file", ["model.onnx", "model.int8.onnx", "model.fp16.onnx"])
def test_no_graphs_scores_depend_on_neighbours(file: str, bundle: Bundle) -> None:
    """A pair alone, in a batch, and in the batch turned round."""
    pairs = _pairs(bundle)
    together = _score(bundle, file, pairs)
    alone = np.concatenate([_score(bundle, file, [pair]) for pair in pairs])
    np.testing.assert_allclose(together, alone, atol=1e-5 if file == "model.onnx" else 5e-3)
    np.testing.assert_allclose(_score(bundle, file, pairs[::-1])[::-1], together, atol=1e-5)


def test_an_engine_runs_the_graph_that_was_exported_for_it(bundle: Bundle, tmp_path: Path) -> None:
    """And nothing is derived; CUDA graphs want padding left in."""
    cache = Cache(tmp_path / "cache")
    found = {engine: graph_for(bundle, engine, cache) for engine in (CPU_INT8, CUDA_FP16, CUDA_GRAPHS)}
    assert found == {
        CPU_INT8: bundle.folder / "model.int8.onnx",
        CUDA_FP16: bundle.folder / "model.fp16-packed.onnx",
        CUDA_GRAPHS: bundle.folder / "model.fp16.onnx",
    }
    assert not (tmp_path / "cache").exists()


def test_a_server_scores_by_the_bundles_own_graph(bundle: Bundle, tmp_path: Path) -> None:
    """When int8 is asked for, to the bit; and says what the report says."""
    options = ModelOptions(bundle.folder, tmp_path / "cache", EngineRequest(Provider.CPU, Precision.INT8))
    served = load_selected(options)
    assert (served.info.precision, served.info.verdict) == ("int8", "passed")
    assert not (tmp_path / "cache").exists()
    batch = collate(_pairs(bundle), pad_id=bundle.manifest.pad_id, limits=BatchLimits())
    expected = _score(bundle, "model.int8.onnx", _pairs(bundle))
    np.testing.assert_array_equal(served.encoder.score(batch), expected)
    assert not np.array_equal(expected, _score(bundle, "model.onnx", _pairs(bundle)))


@pytest.mark.parametrize("file", ["model.int8.onnx", "model.int8.onnx.data", "model.fp16.onnx", "report.json"])
def test_an_altered_graph_or_report_is_refused(file: str, bundle: Bundle, tmp_path: Path) -> None:
    """By its digest."""
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    with (folder / file).open("ab") as opened:
        opened.write(b" ")
    with pytest.raises(BundleInvalid, match=f"/{file} "):
        open_bundle(folder)


def test_the_digest_is_that_of_the_scores(exported: Exported, bundle: Bundle, tmp_path: Path) -> None:
    """Speed changes from export to export; what is served does not."""
    variants = tuple(one.model_copy(update={"speed": 7.0}) for one in bundle.manifest.variants)
    files = bundle.manifest.files | {"report.json": "0" * 64}
    other = bundle.manifest.model_copy(update={"variants": variants, "files": files})
    assert other.digest == bundle.digest
    assert bundle.manifest.model_copy(update={"variants": variants[:1]}).digest != bundle.digest


def test_without_fp32_weights_are_stored_in_half_the_bytes(
    sources: Callable[[str], Path],
    bundles: Callable[[str], Bundle],
    checks: Callable[[str], Checks],
    tmp_path: Path,
) -> None:
    """Rounded to 16 bits, and computed in fp32; it is judged as fp16 is."""
    done = export(str(sources("bert")), tmp_path / "out", precisions="fp16", checks=checks("bert"))
    reference = done.bundle.manifest.variants[0]
    assert (reference.file, reference.precision, reference.weights) == ("model.onnx", "fp32", "fp16")
    assert 1e-6 < done.verified.edges.max_difference < 0.1
    sizes = [(one.folder / "model.onnx.data").stat().st_size for one in (done.bundle, bundles("bert"))]
    assert sizes[0] / sizes[1] == pytest.approx(0.5, abs=0.05)


def test_what_cannot_be_packed_is_said(
    sources: Callable[[str], Path], checks: Callable[[str], Checks], tmp_path: Path
) -> None:
    """A ModernBERT in fp16 keeps its padding."""
    source, said = str(sources("modernbert")), checks("modernbert")
    done = export(source, tmp_path / "out", precisions="fp32,fp16", checks=said)
    assert [one.file for one in done.bundle.manifest.variants] == ["model.onnx", "model.fp16.onnx"]
    assert done.verified.report["not_made"] == ["model.fp16-packed.onnx: no attention could be fused"]


@pytest.mark.parametrize(
    ("precisions", "reason"),
    [
        ("fp32,int4", "--precisions: there is no int4; there are fp32, fp16, int8"),
        ("int8", "--precisions 'int8' has neither fp32 nor fp16: one is needed beside others"),
        ("", "--precisions '' has neither fp32 nor fp16: one is needed beside others"),
    ],
)
def test_precisions_that_there_are_not_are_refused(precisions: str, reason: str, tmp_path: Path) -> None:
    """Before anything is fetched."""
    with pytest.raises(ExportFailed) as refused:
        export("no/model", tmp_path / "out", precisions=precisions)
    assert str(refused.value) == reason


def test_a_graph_that_ranks_otherwise_is_no_bundle(
    sources: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is named, with what was left out of it, and the pair that differs most."""
    monkeypatch.setattr(tolerance, "INT8", NEVER)
    with pytest.raises(ExportFailed) as refused:
        export(str(sources("bert")), tmp_path / "out", precisions="fp32,int8")
    told = str(refused.value)
    assert told.startswith("bert: model.int8.onnx does not score as the model does even with ")
    assert "tau-b is " in told
    assert "it differs most for “" in told
    assert told.endswith("No bundle was written (--allow-drift keeps it)")
    assert list(tmp_path.iterdir()) == []


def test_drift_that_is_allowed_is_marked(
    sources: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the manifest, in the report, and by the server; all products are in 8 bits then."""
    monkeypatch.setattr(tolerance, "INT8", NEVER)
    allowed = Checks(queries=1, allow_drift=True)
    done = export(str(sources("bert")), tmp_path / "out", precisions="fp32,int8", checks=allowed)
    assert open_bundle(tmp_path / "out").verdict == "drift allowed"
    assert done.verified.report["verdict"] == "drift allowed"
    _, int8 = done.verified.report["variants"]
    assert (int8["verdict"], int8["products_left_out"]) == ("drift", [])
    assert load_selected(ModelOptions(tmp_path / "out", tmp_path / "cache")).info.verdict == "drift allowed"


def _sensitivity(bundle: Bundle, **limits: Any) -> Sensitivity:
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=bundle.manifest.max_tokens)
    sample = [encode(query, tokenizer, document_tokens=64) for query in read_parity_set(None, 2).queries]
    return Sensitivity(bundle, sample, **limits)


@pytest.fixture(scope="module")
def lopsided(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A BERT whose second layer widens what has one channel hundreds of times larger than the others."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(sources("bert"), tmp_path_factory.mktemp("lopsided") / "model")
    weights = load_file(folder / "model.safetensors")
    before = "bert.encoder.layer.1.attention.output.LayerNorm"
    weights[f"{before}.weight"][0] *= 300
    weights[f"{before}.bias"][0] *= 300
    weights["bert.encoder.layer.1.intermediate.dense.weight"][:, 0] /= 300
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return export(str(folder), folder.with_name("out")).bundle


def test_the_product_that_bears_8_bits_worst_is_found(lopsided: Bundle) -> None:
    """And left out first; nothing of the search stays in the folder."""
    before = sorted(path.name for path in lopsided.folder.iterdir())
    found = _sensitivity(lopsided)
    first, *others = found.products
    assert "layer.1/intermediate" in first.name
    assert first.influence > max(other.influence for other in others)
    candidates = list(found.candidates())
    assert all(first.name in left_out for left_out in candidates if left_out)
    assert [len(left_out) for left_out in candidates] == sorted({len(left_out) for left_out in candidates})
    assert sorted(path.name for path in lopsided.folder.iterdir()) == before


def test_what_was_not_measured_in_time_is_left_out_first(bundles: Callable[[str], Bundle]) -> None:
    """No time at all: nothing is known of any product, so the large ones come first."""
    found = _sensitivity(bundles("bert"), seconds=0.0)
    assert {product.influence for product in found.products} == {float("inf")}
    sizes = [product.size for product in found.products]
    assert sizes == sorted(sizes, reverse=True)


def test_something_stays_in_8_bits(bundles: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch) -> None:
    """However little agrees: with less there would be no speed to gain."""
    monkeypatch.setattr(sensitive, "_ENOUGH", 2.0)
    found = _sensitivity(bundles("bert"))
    (left_out,) = found.candidates()
    kept = [product.size for product in found.products if product.name not in left_out]
    assert sum(kept) >= 0.1 * sum(product.size for product in found.products)


@pytest.mark.parametrize("said", ["0", "many", "-1"])
def test_a_number_of_queries_that_is_none_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the variable."""
    monkeypatch.setenv(verify.QUERIES_VARIABLE, said)
    with pytest.raises(ExportFailed, match="RERANK_PARITY_QUERIES"):
        Checks()

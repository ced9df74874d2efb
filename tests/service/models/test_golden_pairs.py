"""Golden pairs in a bundle: their file, and the check at each load. Covers golden_pairs.py and golden_check.py."""

import re
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from rerank_service.engine.available import ENGINES, works
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.errors import BundleInvalid
from rerank_service.models.bundle import Bundle, open_bundle, write_manifest
from rerank_service.models.files import GOLDEN
from rerank_service.models.golden_check import TOLERANCE, check_golden
from rerank_service.models.golden_pairs import GoldenPair, read_golden_pairs, write_golden_pairs
from rerank_service.models.loading import load_selected
from rerank_service.models.model_options import ModelOptions
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning.startup import EngineRequest
from support.small import NAN, logit, write_small_model

PAIRS = tuple(GoldenPair(query="q", document=text, logit=logit(text)) for text in ("0", "1 2", "20 30"))


def _load(folder: Path, cache: Path, engine: Engine = CPU_FP32) -> ServedModel:
    requested = EngineRequest(engine.provider, engine.precision)
    return load_selected(ModelOptions(folder=folder, cache=cache, requested=requested))


def _write(folder: Path, pairs: tuple[GoldenPair, ...] = PAIRS) -> Bundle:
    """Write golden pairs into a bundle, and its manifest anew."""
    manifest = open_bundle(folder).manifest
    write_golden_pairs(folder, pairs)
    return write_manifest(folder, manifest)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle of the small model with golden pairs, which a test may change."""
    return _write(write_small_model(tmp_path / "small").folder)


def test_pairs_are_read_as_they_were_written(bundle: Bundle, small_model: Bundle) -> None:
    """Without the file, there are none: bundles of earlier versions stay valid."""
    assert read_golden_pairs(open_bundle(bundle.folder)) == PAIRS
    assert read_golden_pairs(small_model) == ()


def test_model_that_scores_as_at_export_is_loaded(bundle: Bundle, tmp_path: Path) -> None:
    """It has the digests of the same bundle without golden pairs, because scores do not depend on them."""
    assert check_golden(_load(bundle.folder, tmp_path)) == 0.0
    digests = bundle.digest, bundle.logits_digest
    (bundle.folder / GOLDEN).unlink()
    without = write_manifest(bundle.folder, bundle.manifest)
    assert (without.digest, without.logits_digest) == digests
    assert check_golden(_load(bundle.folder, tmp_path)) is None


def test_altered_graph_is_rejected(bundle: Bundle, tmp_path: Path) -> None:
    """Its digest is right, because the manifest was written anew. The message has the pair, logits and tolerance."""
    graph = onnx.load(bundle.graph)
    values = [0.0] * 4 + [float(number) for number in range(100)] + [0.0]
    values[4 + 30] = 31.0
    graph.graph.initializer[0].CopyFrom(helper.make_tensor("worth", TensorProto.FLOAT, [len(values)], values))
    onnx.save(graph, bundle.graph)
    write_manifest(bundle.folder, bundle.manifest)
    with pytest.raises(BundleInvalid) as caught:
        _load(bundle.folder, tmp_path)
    assert str(caught.value) == (
        f"{bundle.folder} does not score on cpu fp32 as it did at export: the pair 'q' with '20 30' has the logit "
        "51.0000 instead of 50.0000 (allowed difference: 0.0150). Its graph, weights or tokenizer were changed, or the "
        "engine is wrong on this machine: export the model again, or set another --provider or --precision"
    )


def test_altered_tokenizer_is_rejected(bundle: Bundle, tmp_path: Path) -> None:
    """Two words have each other's token ids."""
    text = bundle.tokenizer.read_text()
    swapped = re.sub(r'"(20|21)": ?(\d+)', lambda found: f'"{41 - int(found[1])}": {found[2]}', text)
    assert swapped != text
    bundle.tokenizer.write_text(swapped)
    write_manifest(bundle.folder, bundle.manifest)
    with pytest.raises(BundleInvalid, match=r"'20 30' has the logit 51\.0000 instead of 50\.0000"):
        _load(bundle.folder, tmp_path)


def test_logit_that_is_not_finite_is_rejected(bundle: Bundle, tmp_path: Path) -> None:
    """NaN exceeds no tolerance by comparison."""
    _write(bundle.folder, (*PAIRS, GoldenPair(query="q", document=NAN, logit=0.0)))
    with pytest.raises(BundleInvalid, match=f"'{NAN}' has the logit nan instead of 0"):
        _load(bundle.folder, tmp_path)


def test_pair_that_does_not_fit_is_rejected(bundle: Bundle, tmp_path: Path) -> None:
    """The token limit in the manifest may be too low for a query."""
    _write(bundle.folder, (GoldenPair(query="1 " * 99, document="1", logit=1.0),))
    with pytest.raises(BundleInvalid, match="a golden pair does not fit the model"):
        _load(bundle.folder, tmp_path)


_PAIR = '{"query": "q", "document": "1", "logit": 1}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "is not a JSON object"),
        ("{}", "pairs: Field required"),
        ('{"pairs": []}', "pairs: Tuple should have at least 1 item"),
        (
            f'{{"pairs": [{",".join([_PAIR] * 65)}]}}',
            "pairs: Tuple should have at most 64 items",
        ),
        ('{"pairs": [{"query": "q", "document": "1", "logit": NaN}]}', "logit: Input should be a finite number"),
        ('{"pairs": [{"query": "q", "document": "1"}]}', "pairs.0.logit: Field required"),
        (f'{{"pairs": [{_PAIR}], "more": 1}}', "more: Extra inputs are not permitted"),
    ],
)
def test_invalid_file_is_rejected(bundle: Bundle, tmp_path: Path, content: str, words: str) -> None:
    """The message names the field."""
    (bundle.folder / GOLDEN).write_text(content)
    write_manifest(bundle.folder, bundle.manifest)
    with pytest.raises(BundleInvalid, match=rf"{GOLDEN}.*{words}"):
        _load(bundle.folder, tmp_path)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for derived graphs of the starter model."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if works(engine)], ids=str)
def test_each_available_engine_is_far_within_its_tolerance(engine: Engine, starter: Bundle, cache: Path) -> None:
    """The starter model uses a quarter of it at most."""
    model = _load(starter.folder, cache, engine)
    largest = max(abs(pair.logit) for pair in read_golden_pairs(starter))
    difference = check_golden(model)
    assert difference is not None
    assert difference <= TOLERANCE[engine.precision] * largest / 4


@pytest.mark.parametrize("engine", [CPU_FP32, Engine(Provider.CPU, Precision.INT8)], ids=str)
def test_altered_weights_are_rejected(engine: Engine, starter: Bundle, tmp_path: Path) -> None:
    """The weights of two halves of the file changed places, as after a bad copy."""
    folder = tmp_path / "starter"
    shutil.copytree(starter.folder, folder)
    weights = (folder / "model.onnx.data").read_bytes()
    half = len(weights) // 4 * 2
    (folder / "model.onnx.data").write_bytes(weights[half:] + weights[:half])
    write_manifest(folder, starter.manifest)
    with pytest.raises(BundleInvalid, match=f"does not score on {engine} as it did at export"):
        _load(folder, tmp_path / "cache", engine)

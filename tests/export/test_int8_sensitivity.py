"""The choice of products that stay in fp32."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export
from rerank_export.gate.parity_set import encode_query, read_parity_set
from rerank_export.variants.int8_sensitivity import Sensitivity
from rerank_export.variants.variant_graphs import int8_graphs
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.ranking_change import RankingBounds
from rerank_service.models.variants.left_out import left_out_products


def _sensitivity(bundle: Bundle, **limits: Any) -> Sensitivity:
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=bundle.manifest.max_tokens)
    sample = [encode_query(query, tokenizer, document_tokens=64) for query in read_parity_set(None, 2).queries]
    return Sensitivity(bundle, sample, **limits)


@pytest.fixture(scope="module")
def lopsided(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A BERT whose second feed-forward has an input channel hundreds of times larger than the others."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(sources("bert"), tmp_path_factory.mktemp("lopsided") / "model")
    weights = load_file(folder / "model.safetensors")
    before = "bert.encoder.layer.1.attention.output.LayerNorm"
    weights[f"{before}.weight"][0] *= 300
    weights[f"{before}.bias"][0] *= 300
    weights["bert.encoder.layer.1.intermediate.dense.weight"][:, 0] /= 300
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return export(ExportRequest(str(folder), folder.with_name("out"))).bundle


def test_most_sensitive_product_is_left_out_first(lopsided: Bundle) -> None:
    """Nothing of the search is left in the folder."""
    before = sorted(path.name for path in lopsided.folder.iterdir())
    found = _sensitivity(lopsided)
    first, *others = found.products
    assert "layer.1/intermediate" in first.name
    assert first.influence > max(other.influence for other in others)
    candidates = list(found.candidates())
    assert all(first.name in left_out for left_out in candidates if left_out)
    assert [len(left_out) for left_out in candidates] == sorted({len(left_out) for left_out in candidates})
    assert sorted(path.name for path in lopsided.folder.iterdir()) == before


def test_products_not_measured_in_time_are_left_out_first(bundles: Callable[[str], Bundle]) -> None:
    """Without any time no product is measured, and large ones come first."""
    found = _sensitivity(bundles("bert"), seconds=0.0)
    assert {product.influence for product in found.products} == {float("inf")}
    sizes = [product.size for product in found.products]
    assert sizes == sorted(sizes, reverse=True)


def test_least_share_stays_in_int8(bundles: Callable[[str], Bundle]) -> None:
    """A smaller share is not faster, so it holds even if no candidate agrees."""
    found = _sensitivity(bundles("bert"), bounds=RankingBounds(mean_loss=-1.0))
    (left_out,) = found.candidates()
    kept = [product.size for product in found.products if product.name not in left_out]
    assert sum(kept) >= 0.1 * sum(product.size for product in found.products)


def test_products_left_out_can_be_read_from_the_int8_graph(bundles: Callable[[str], Bundle], tmp_path: Path) -> None:
    """`openvino int8` leaves out the same ones, and the manifest does not list them."""
    folder = shutil.copytree(bundles("bert").folder, tmp_path / "copy")
    bundle = Bundle(folder, bundles("bert").manifest)
    names = tuple(product.name for product in _sensitivity(bundle, seconds=0.0).products[:3])
    (graph,) = int8_graphs(bundle, [names])
    variants = (*bundle.manifest.variants, graph.variant)
    with_int8 = Bundle(folder, bundle.manifest.model_copy(update={"variants": variants}))
    assert left_out_products(with_int8) == set(names)

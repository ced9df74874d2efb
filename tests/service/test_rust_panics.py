"""Panics of tokenizers, raised by the real library: a request or a load fails, and nothing waits or ends."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from rerank.errors import Internal
from rerank_service.errors import BundleInvalid
from rerank_service.models.build import build_model
from rerank_service.models.bundle import open_bundle, write_manifest
from rerank_service.rust_panics import RustPanic, panics_as_errors
from support.limits import batch_limits
from support.panics import break_tokenizer
from support.running import Running, Served
from support.small import write_small_model


def test_only_panics_are_changed() -> None:
    """An interruption is none."""
    with pytest.raises(KeyboardInterrupt), panics_as_errors():
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="mine"), panics_as_errors():
        raise ValueError("mine")


@pytest.mark.parametrize("manifest", [True, False], ids=["bundle", "hub folder"])
@pytest.mark.parametrize("at_load", [True, False], ids=["at load", "at use"])
def test_a_bundle_whose_tokenizer_panics_is_invalid(at_load: bool, manifest: bool, tmp_path: Path) -> None:
    """The message names the file."""
    bundle = write_small_model(tmp_path / "small")
    break_tokenizer(bundle.tokenizer, at_load=at_load)
    if manifest:
        write_manifest(bundle.folder, bundle.manifest)
    else:
        (bundle.folder / "manifest.json").unlink()
    with pytest.raises(BundleInvalid, match=r"tokenizer\.json .*panicked"):
        build_model(open_bundle(bundle.folder), limits=batch_limits(), lanes=1)


async def test_a_request_whose_tokenization_panics_fails_at_once(core: Running, tmp_path: Path) -> None:
    """It does not wait for its deadline. The next request is ranked."""
    works = core.model.tokenizer._tokenizer
    core.model.tokenizer._tokenizer = _panicking(tmp_path)
    with pytest.raises(RustPanic):
        await core.rank("0", "1", "2")
    core.model.tokenizer._tokenizer = works
    assert core.idle()
    assert len(await core.rank("0", "1", "2")) == 2


async def test_a_panic_is_an_internal_error_in_both_protocols(edges: Served, tmp_path: Path) -> None:
    """The message does not quote the panic, which may contain a text of the caller."""
    edges.core.model.tokenizer._tokenizer = _panicking(tmp_path)
    response = await edges.http.post("/v2/rerank", json={"query": "0", "documents": ["1"]})
    assert response.status_code == 500
    assert "chunk size" not in response.text
    with pytest.raises(Internal) as caught:
        await edges.client.rerank("0", ["1"])
    assert "chunk size" not in str(caught.value)
    assert edges.core.idle()


def _panicking(folder: Path) -> Tokenizer:
    bundle = write_small_model(folder / "broken")
    break_tokenizer(bundle.tokenizer, at_load=False)
    return Tokenizer.from_file(str(bundle.tokenizer))

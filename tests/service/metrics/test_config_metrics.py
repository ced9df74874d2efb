"""Metrics of files that change while the server runs: real files, read from /metrics. No other request is sent."""

import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from rerank_service.errors import Unauthenticated
from rerank_service.lifecycle.catalog_watch import CatalogWatch, read_and_look
from rerank_service.lifecycle.model_control_errors import LoadFailed
from rerank_service.metrics.config_state import ConfigFiles
from rerank_service.metrics.core_state import core_state
from rerank_service.metrics.exposition import Metrics
from rerank_service.models.build import build_model
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.reading import read_catalog
from rerank_service.settings import Settings
from rerank_service.wiring import api_keys, certificate_store
from support.limits import batch_limits
from support.managed import FakeStore, managed
from support.running import Running, served
from support.small import write_small_model
from support.tls import write_pems

RELOADED = "rerank_config_last_reload_successful"
EXPIRY = "rerank_tls_certificate_expiry_timestamp_seconds"
_NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)

Scrape = Callable[[], Awaitable[dict[str, float]]]


@asynccontextmanager
async def _scraped(core: Running, files: ConfigFiles) -> AsyncIterator[Scrape]:
    """Serve metrics. Yield a function that reads those of files: by the label `file`, and the expiry by its name."""
    metrics = Metrics(partial(core_state, core.registry, core.admissions, ready=True), files.state)
    async with served(core, metrics=metrics.text) as edges:

        async def scrape() -> dict[str, float]:
            families = text_string_to_metric_families((await edges.http.get("/metrics")).text)
            samples = [sample for family in families if family.name in (RELOADED, EXPIRY) for sample in family.samples]
            return {sample.labels.get("file", sample.name): sample.value for sample in samples}

        yield scrape


@pytest.fixture
def files() -> ConfigFiles:
    """Return no files."""
    return ConfigFiles()


async def test_files_that_are_not_set_have_no_series(core: Running, files: ConfigFiles) -> None:
    """An alert on an absent series does not fire."""
    settings = Settings()
    api_keys(settings, files)
    certificate_store(settings, files)
    async with _scraped(core, files) as scrape:
        assert await scrape() == {}


@pytest.mark.parametrize("content", ["", "- {name: a, kee: new}", "- {name: a", None])
async def test_a_wrong_key_file_is_shown_until_it_is_valid(
    core: Running, files: ConfigFiles, tmp_path: Path, content: str | None
) -> None:
    """Before a request uses the keys. The scrape itself loads the new ones."""
    path = tmp_path / "keys.yaml"
    path.write_text("- {name: a, key: old}\n")
    keys = api_keys(Settings(api_keys_file=path), files)
    async with _scraped(core, files) as scrape:
        assert await scrape() == {"keys": 1}
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
        assert [await scrape(), await scrape()] == [{"keys": 0}, {"keys": 0}]
        keys.check({"x-api-key": "old"})
        path.write_text("- {name: a, key: new}\n")
        assert await scrape() == {"keys": 1}
        keys.check({"x-api-key": "new"})
        with pytest.raises(Unauthenticated):
            keys.check({"x-api-key": "old"})


async def test_wrong_tls_files_are_shown_and_the_certificate_in_use_counts(
    core: Running, files: ConfigFiles, tmp_path: Path
) -> None:
    """A new certificate without its key is wrong, and its expiry counts only when it is used. No client connects."""
    authority, ends = trustme.CA(), [_NOW + dt.timedelta(days=days) for days in (3, 90)]
    pems = write_pems(tmp_path / "tls", authority, not_after=ends[0])
    store = certificate_store(Settings(tls_cert=pems.cert, tls_key=pems.key), files)
    assert store is not None
    async with _scraped(core, files) as scrape:
        assert await scrape() == {"tls": 1, EXPIRY: ends[0].timestamp()}
        new = write_pems(tmp_path / "new", authority, not_after=ends[1])
        pems.cert.write_bytes(new.cert.read_bytes())
        assert [await scrape(), await scrape()] == [{"tls": 0, EXPIRY: ends[0].timestamp()}] * 2
        pems.key.write_bytes(new.key.read_bytes())
        assert await scrape() == {"tls": 1, EXPIRY: ends[1].timestamp()}
        write_pems(tmp_path / "tls", authority, not_after=_NOW - dt.timedelta(days=1))
        assert await scrape() == {"tls": 0, EXPIRY: ends[1].timestamp()}
        pems.key.unlink()
        assert (await scrape())["tls"] == 0
        for source, target in ((new.cert, pems.cert), (new.key, pems.key)):
            target.write_bytes(source.read_bytes())
        assert await scrape() == {"tls": 1, EXPIRY: ends[1].timestamp()}


async def test_models_that_were_not_reloaded_are_shown(
    core: Running, files: ConfigFiles, small_model: Bundle, tmp_path: Path
) -> None:
    """A wrong models file, a missing bundle, and a bundle that fails to load. An operator's load repairs it."""
    write_small_model(tmp_path / "one")
    path, store = tmp_path / "models.yaml", FakeStore(build_model(small_model, limits=batch_limits(), lanes=1))
    path.write_text("- {bundle: one, name: a}\n")
    entries, seen = read_and_look(partial(read_catalog, path), path)
    async with managed(store, *entries) as server, _scraped(core, files) as scrape:
        watch = CatalogWatch(server.manager, partial(read_catalog, path), entries, path, seen)
        files.add("models", lambda: watch.up_to_date)

        async def models() -> float:
            await watch.look()
            await watch.look()
            return (await scrape())["models"]

        assert await models() == 1
        path.write_text("- {bundle: one, name: a, wieght: 2}\n")
        assert [await models(), await models()] == [0, 0]
        path.write_text("- {bundle: one, name: a}\n- {bundle: two, name: b}\n")
        assert await models() == 0
        store.broken.add("two")
        write_small_model(tmp_path / "two")
        assert [await models(), await models()] == [0, 0]
        store.broken.clear()
        await server.manager.load("b")
        assert await models() == 1
        store.versions["one"], store.broken = 2, {"one"}
        (tmp_path / "one" / "model.onnx").touch()
        assert [await models(), await models()] == [0, 0]
        store.broken.clear()
        (tmp_path / "one" / "model.onnx").touch()
        assert await models() == 1
        assert await server.rank("a") == 2


async def test_a_load_of_an_operator_is_no_reload(
    core: Running, files: ConfigFiles, small_model: Bundle, tmp_path: Path
) -> None:
    """The operator gets its error, and the files of the server are as before. A removed model counts no more."""
    for name in ("one", "two"):
        write_small_model(tmp_path / name)
    path, store = tmp_path / "models.yaml", FakeStore(build_model(small_model, limits=batch_limits(), lanes=1))
    path.write_text("- {bundle: one, name: a}\n- {bundle: two, name: b}\n")
    entries, seen = read_and_look(partial(read_catalog, path), path)
    async with managed(store, *entries) as server, _scraped(core, files) as scrape:
        watch = CatalogWatch(server.manager, partial(read_catalog, path), entries, path, seen)
        files.add("models", lambda: watch.up_to_date)
        store.versions["three"], store.broken = 2, {"three"}
        with pytest.raises(LoadFailed, match="three is broken"):
            await server.manager.load("a", write_small_model(tmp_path / "three").folder)
        assert await scrape() == {"models": 1}
        store.versions["two"] = 2
        store.broken.add("two")
        (tmp_path / "two" / "model.onnx").touch()
        await watch.look()
        await watch.look()
        assert await scrape() == {"models": 0}
        path.write_text("- {bundle: one, name: a}\n")
        await watch.look()
        await watch.look()
        assert await scrape() == {"models": 1}

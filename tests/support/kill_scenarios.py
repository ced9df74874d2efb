"""Work that is killed before each of its changes of the file system. See killed_stages.py."""

import shutil
from pathlib import Path

from rerank_export.bundle.output_folder import check_output, replace_folder, work_folder
from rerank_service.models.bundle import open_bundle, write_manifest
from rerank_service.models.variants.cache import Cache
from rerank_service.tools.batch.formats.jsonl import JsonlFormat
from rerank_service.tools.batch.part_store import Counts, PartStore
from rerank_service.tools.batch.rows import Columns
from support.small import write_small_model


class CachedGraph:
    """A derived graph is written to the cache, in place of one that was damaged."""

    def prepare(self, folder: Path) -> None:
        """Write a damaged graph."""
        self.run(folder)
        (folder / "graphs" / "key" / "model.onnx").write_text("damaged")

    def run(self, folder: Path) -> None:
        """Write the graph, its weights and its digests."""
        assert Cache(folder).graph("key", _write_graph) is not None

    def check(self, folder: Path) -> None:
        """A graph is complete, or made again."""
        graph = Cache(folder).graph("key", _write_graph)
        assert graph is not None
        assert (graph.read_text(), graph.with_name("weights").read_text()) == ("graph", "w" * 100_000)


def _write_graph(path: Path) -> None:
    path.with_name("weights").write_text("w" * 100_000)
    path.write_text("graph")


class CachedTuning:
    """A tuning is written to the cache, in place of an older one."""

    def prepare(self, folder: Path) -> None:
        """Write the older tuning."""
        Cache(folder).store_tuning("key", {"version": "old"})

    def run(self, folder: Path) -> None:
        """Write the new tuning."""
        assert Cache(folder).store_tuning("key", {"version": "new"})

    def check(self, folder: Path) -> None:
        """One of both is complete."""
        assert Cache(folder).tuning("key") in ({"version": "old"}, {"version": "new"})


class Calibrated:
    """The manifest of a bundle is replaced, as `rerank calibrate` does."""

    def prepare(self, folder: Path) -> None:
        """Write the bundle."""
        write_small_model(folder / "bundle")

    def run(self, folder: Path) -> None:
        """Replace the manifest."""
        bundle = open_bundle(folder / "bundle")
        write_manifest(bundle.folder, bundle.manifest.model_copy(update={"name": "new"}))

    def check(self, folder: Path) -> None:
        """A server accepts the bundle, with one of both manifests."""
        assert open_bundle(folder / "bundle").manifest.name in ("small", "new")


class Exported:
    """The last step of an export, in place of an older bundle."""

    def prepare(self, folder: Path) -> None:
        """Write the older bundle."""
        write_small_model(folder / "out")

    def run(self, folder: Path) -> None:
        """Write a bundle to a work folder, and move it to its place."""
        output = check_output(folder / "out")
        with work_folder(output) as work:
            bundle = write_small_model(work / "bundle", weights_beside=True)
            write_manifest(bundle.folder, bundle.manifest.model_copy(update={"name": "new"}))
            replace_folder(bundle.folder, output)

    def check(self, folder: Path) -> None:
        """A server finds one of both bundles, complete. Another export replaces it."""
        assert open_bundle(folder / "out").manifest.name in ("small", "new")
        self.run(folder)
        assert open_bundle(folder / "out").manifest.name == "new"


class ExportedToANewFolder(Exported):
    """The same without an older bundle."""

    def prepare(self, folder: Path) -> None:
        """Write nothing."""

    def check(self, folder: Path) -> None:
        """There is a complete bundle, or none."""
        if (folder / "out").exists():
            assert open_bundle(folder / "out").manifest.name == "new"
        self.run(folder)
        assert open_bundle(folder / "out").manifest.name == "new"


class BatchOutput:
    """A job of `rerank batch` with two parts."""

    def prepare(self, folder: Path) -> None:
        """Write nothing."""

    def run(self, folder: Path) -> None:
        """Write the parts that are not finished, and join them. A job that was joined by an earlier run is done."""
        store = PartStore(folder / "out.jsonl")
        with store.opened({"IN": "a"}, restart=False):
            for number in {0, 1} - store.finished.keys():
                store.finish(number, b"row %d\n" % number, b"", Counts(1, 1, 0))
            store.join(JsonlFormat(Path("unused"), Columns(), sort=False, compress=False))

    def check(self, folder: Path) -> None:
        """OUT is complete or not there. The same command again makes it complete, and removes all else."""
        out = folder / "out.jsonl"
        if not out.exists() or (folder / "out.jsonl.parts").exists():
            assert not out.exists() or out.read_bytes() == b"row 0\nrow 1\n"
            self.run(folder)
        assert out.read_bytes() == b"row 0\nrow 1\n"
        shutil.rmtree(folder / "out.jsonl.parts.removed", ignore_errors=True)  # the next command does so
        assert [path.name for path in folder.iterdir()] == ["out.jsonl"]


class WrittenInPlace:
    """A fault, which the kills must find: a file is written without a second name."""

    def prepare(self, folder: Path) -> None:
        """Write the older text."""
        (folder / "file").write_text("older")

    def run(self, folder: Path) -> None:
        """Write the newer text."""
        (folder / "file").write_text("newer")

    def check(self, folder: Path) -> None:
        """The file has one of both."""
        assert (folder / "file").read_text() in ("older", "newer")

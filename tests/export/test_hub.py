"""Models from the hub: what is fetched, by which way, and what is said when it is not to be had."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from rerank_export.weight_files import missing_weights
from rerank_service.models.bundle import open_bundle
from support.commands import rerank, start_rerank
from support.hub import COMMIT, GATED, MODEL, TOKEN, Hub, hub_of

NEEDED = {
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}
_FETCH = """
import sys
from rerank_export.source import fetch
revision, trusted, model = sys.argv[1:]
source = fetch(model, revision or None, trusted=bool(trusted))
print(source.revision, *sorted(path.name for path in source.folder.iterdir()))
"""


@pytest.fixture
def published(sources: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model as hubs have them: with weights in many forms, and other people's exports."""
    folder = tmp_path / "published"
    folder.mkdir()
    for path in sources("bert").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    unwanted = [
        "pytorch_model.bin",
        "model.fp16.safetensors",
        "adapter_model.safetensors",
        "tf_model.h5",
        "optimizer.pt",
    ]
    unwanted += ["flax_model.msgpack", "training.py", "README.md", "figure.png"]
    unwanted += ["openvino/openvino_model.bin", "onnx/config.json", "onnx/model.onnx"]
    for name in unwanted:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not wanted")
    return folder


@pytest.fixture
def hub(published: Path) -> Iterator[Hub]:
    """A hub that has it."""
    with hub_of(published) as hub:
        yield hub


def fetch(
    model: str, cwd: Path, environment: Mapping[str, str], *, revision: str = "", trusted: bool = False
) -> tuple[str, set[str]]:
    """What `rerank export` does first, without what comes after it; gives the commit and the names of what is there."""
    done = subprocess.run(
        [sys.executable, "-c", _FETCH, revision, "yes" if trusted else "", model],
        env=os.environ | {"HF_HOME": str(cwd / "hf")} | dict(environment),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    commit, *names = done.stdout.split()
    return commit, set(names)


def refuse(hub: Hub, model: str, cwd: Path, *options: str, **environment: str) -> str:
    """The line that `rerank export` ends with."""
    done = rerank("export", model, *options, cwd=cwd, **(hub.environment | {"HF_HOME": str(cwd / "hf")} | environment))
    assert done.returncode == 1
    fetching, line = done.stderr.splitlines()
    assert fetching == f"fetching {model}"
    assert not (cwd / "out").exists()
    return line.removeprefix("rerank export: ")


def test_a_model_is_fetched_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    """Only what is needed; OUT is out/NAME, and the manifest names repository and commit, whatever was asked for."""
    done = rerank("export", MODEL, "--revision", "v1", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"), **hub.environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[1:3] == [
        f"fetched commit {COMMIT}",
        "exporting the graph (of a large model: for minutes)",
    ], "no progress bars"
    assert done.stderr.splitlines()[-1].endswith("rerank serve --model out/small")
    manifest = open_bundle(tmp_path / "out/small").manifest
    assert (manifest.name, manifest.source, manifest.revision) == ("small", MODEL, COMMIT)
    assert sorted(hub.fetched) == sorted(NEEDED), "each once"


def test_what_was_fetched_is_there_offline(hub: Hub, tmp_path: Path) -> None:
    """By the branch's name too, and the commit is still told; another revision is not there, and that is said."""
    assert fetch(MODEL, tmp_path, hub.environment) == (COMMIT, NEEDED)
    hub.fetched.clear()
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    for revision in ("", "main", COMMIT):
        assert fetch(MODEL, tmp_path, offline, revision=revision) == (COMMIT, NEEDED)
    assert fetch(MODEL, tmp_path, hub.environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}) == (COMMIT, NEEDED)
    line = refuse(hub, MODEL, tmp_path, "--revision", "v1", **offline)
    assert line.startswith(f"{MODEL} at v1 is no folder here nor in the hub's cache ({tmp_path}/hf/hub)")
    assert hub.fetched == []


def test_pickled_weights_are_fetched_where_there_are_no_others(published: Path, hub: Hub, tmp_path: Path) -> None:
    """Models from before safetensors have a pytorch_model.bin."""
    (published / "model.safetensors").unlink()
    names = NEEDED - {"model.safetensors"} | {"pytorch_model.bin"}
    assert fetch(MODEL, tmp_path, hub.environment) == (COMMIT, names)
    assert sorted(hub.fetched) == sorted(names)


def test_weights_in_parts_are_all_fetched(published: Path, hub: Hub, tmp_path: Path) -> None:
    """As large models have them, and with them what lies in a step's folder of sentence-transformers."""
    (published / "model.safetensors").rename(published / "model-00001-of-00002.safetensors")
    (published / "model-00002-of-00002.safetensors").touch()
    (published / "model.safetensors.index.json").write_text("{}")
    (published / "1_LogitScore").mkdir()
    (published / "1_LogitScore" / "config.json").write_text("{}")
    (published / "1_LogitScore" / "unwanted.bin").touch()
    (published / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "1_LogitScore"}, {"path": "../x"}]))
    _, names = fetch(MODEL, tmp_path, hub.environment)
    parts = {f"model-0000{part}-of-00002.safetensors" for part in (1, 2)} | {"model.safetensors.index.json"}
    assert names == NEEDED - {"model.safetensors"} | parts | {"modules.json", "1_LogitScore"}
    assert "1_LogitScore/unwanted.bin" not in hub.fetched


def test_code_is_fetched_only_where_it_is_trusted(hub: Hub, tmp_path: Path) -> None:
    """Else it is not even there to be run."""
    assert fetch(MODEL, tmp_path, hub.environment)[1] == NEEDED
    assert fetch(MODEL, tmp_path, hub.environment, trusted=True)[1] == NEEDED | {"training.py"}


def test_a_gated_model_is_fetched_with_a_token(hub: Hub, tmp_path: Path) -> None:
    """From the environment. Without, and with a wrong one, the line says what to do."""
    assert refuse(hub, GATED, tmp_path) == (
        f"{GATED} is gated: accept its terms on the hub, then set HF_TOKEN to a token of the account that did"
    )
    assert refuse(hub, GATED, tmp_path, HF_TOKEN="hf_other") == (
        "the hub does not accept the token that HF_TOKEN or `hf auth login` gives"
    )
    assert fetch(GATED, tmp_path, hub.environment | {"HF_TOKEN": TOKEN}) == (COMMIT, NEEDED)


def test_a_proxy_is_used(hub: Hub, tmp_path: Path) -> None:
    """The hub here stands in for it: it is asked for what another host has."""
    environment = {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": hub.url, "NO_PROXY": ""}
    assert fetch(MODEL, tmp_path, hub.environment | environment) == (COMMIT, NEEDED)
    assert hub.hosts == {"hub.invalid"}


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (
            "org/none",
            [],
            "org/none is neither a folder here nor on the hub, unless it is private: check the name",
        ),
        (MODEL, ["--revision", "no-such"], f"{MODEL} has no revision 'no-such'"),
        ("no/such/name", [], "'no/such/name' is neither a folder here nor the name of a model on the hub"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    model: str, options: list[str], reason: str, hub: Hub, tmp_path: Path
) -> None:
    """A name that it does not know, a revision that is not there, no name at all."""
    assert refuse(hub, model, tmp_path, *options).startswith(reason)


def test_without_a_network_it_says_where_to_look(hub: Hub, tmp_path: Path) -> None:
    """Forbidden, not there, or in trouble."""
    assert "and HF_HUB_OFFLINE forbids to fetch it" in refuse(hub, MODEL, tmp_path, HF_HUB_OFFLINE="1")
    nobody = refuse(hub, MODEL, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert nobody == (
        f"{MODEL} is no folder here, and the hub does not answer: give a folder, or look to the network "
        "(HTTPS_PROXY, HF_ENDPOINT)"
    )
    hub.fails = True
    assert "the hub does not answer (503 Server Error: Service Unavailable" in refuse(hub, MODEL, tmp_path)


def test_a_proxy_that_is_not_there_is_named(hub: Hub, tmp_path: Path) -> None:
    """Not the hub, which may be well."""
    line = refuse(hub, MODEL, tmp_path, HF_ENDPOINT="http://hub.invalid", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="")
    assert line == f"the proxy that HTTPS_PROXY names does not answer, so {MODEL} cannot be fetched"


def test_a_connection_that_breaks_half_way_is_one_line(hub: Hub, tmp_path: Path) -> None:
    """And the next try goes on."""
    hub.breaks = {"model.safetensors"}
    line = refuse(hub, MODEL, tmp_path, HF_HUB_DISABLE_XET="1")
    assert line.startswith(f"the connection to the hub broke while {MODEL} was fetched: try again")
    hub.breaks.clear()
    assert fetch(MODEL, tmp_path, hub.environment) == (COMMIT, NEEDED)


def test_ctrl_c_while_it_fetches_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    """But for the hub's own cache, where the next try finds what was fetched."""
    hub.stalls = "model.safetensors"
    process = start_rerank("export", MODEL, cwd=tmp_path, **(hub.environment | {"HF_HOME": str(tmp_path / "hf")}))
    assert hub.stalled.wait(60)
    process.send_signal(signal.SIGINT)
    hub.go_on.set()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir()} == {"hf", "published"}


def test_a_repository_of_exports_alone_is_told_so(published: Path, hub: Hub, tmp_path: Path) -> None:
    """By its other files, which are not fetched for that."""
    (published / "model.safetensors").unlink()
    (published / "pytorch_model.bin").unlink()
    line = refuse(hub, MODEL, tmp_path)
    assert line.startswith(f"{MODEL} has no weights that can be exported (model.safetensors or pytorch_model.bin): ")
    assert line.endswith("rerank serve --model` takes its folder as it is")
    assert "onnx/model.onnx" not in hub.fetched
    line = refuse(hub, MODEL, tmp_path, HF_HUB_OFFLINE="1")
    assert line.endswith("or pytorch_model.bin) (HF_HUB_OFFLINE: in what the cache has of it)")


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["config.json"], "or pytorch_model.bin)"),
        (["tf_model.h5", "flax_model.msgpack"], ", but for Flax and TensorFlow"),
        (["adapter_config.json", "adapter_model.safetensors"], ": it is an adapter; merge it into its base model"),
    ],
    ids=str,
)
def test_what_has_no_weights_is_told_what_it_is(names: list[str], what: str) -> None:
    """Of a folder and of a repository alike."""
    assert what in missing_weights("model", names)

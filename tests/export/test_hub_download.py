"""Models from the hub: the files that are fetched, and the messages if the hub does not deliver."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from rerank_export.source.weight_files import missing_weights
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
from rerank_export.source.model_source import fetch, fetch_weights
revision, trusted, model = sys.argv[1:]
source = fetch(model, revision or None, trusted=bool(trusted))
fetch_weights(source)
print(source.revision, *sorted(path.name for path in source.folder.iterdir()))
"""


@pytest.fixture
def published(sources: Callable[[str], Path], tmp_path: Path) -> Path:
    """The folder of a published model, with weights in many formats and other exports."""
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
    """A local hub with that model."""
    with hub_of(published) as hub:
        yield hub


def fetch(
    model: str, cwd: Path, environment: Mapping[str, str], *, revision: str = "", trusted: bool = False
) -> tuple[str, set[str]]:
    """Run the steps of `rerank export` that fetch files; return the commit and the names of the fetched files."""
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
    """Run `rerank export`, which must fail, and return the last line."""
    done = rerank("export", model, *options, cwd=cwd, **(hub.environment | {"HF_HOME": str(cwd / "hf")} | environment))
    assert done.returncode == 1
    fetching, line = done.stderr.splitlines()
    assert fetching == f"fetching {model}"
    assert not (cwd / "out").exists()
    return line.removeprefix("rerank export: ")


def test_model_is_fetched_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    """Only needed files are fetched. The bundle goes to out/NAME, and its manifest names repository and commit."""
    done = rerank("export", MODEL, "--revision", "v1", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"), **hub.environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[1:3] == [
        f"fetched commit {COMMIT}",
        "exporting the graph (several minutes for a large model)",
    ], "no progress bars"
    assert done.stderr.splitlines()[-1].endswith("rerank serve --model out/small")
    manifest = open_bundle(tmp_path / "out/small").manifest
    assert (manifest.name, manifest.source, manifest.revision) == ("small", MODEL, COMMIT)
    assert sorted(hub.fetched) == sorted(NEEDED), "each file once"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["BertModel"]}, f"{MODEL} cannot score a pair: its architecture BertModel is neither"),
        ({"architectures": ["BartForConditionalGeneration"], "model_type": "bart"}, f"{MODEL} is a BartForConditional"),
        ({"architectures": ["FNetForSequenceClassification"], "model_type": "fnet"}, f"{MODEL} is of type fnet, which"),
        ({"id2label": {"0": "a", "1": "b"}}, f"{MODEL} has two labels (0 a, 1 b), and their names do not show"),
    ],
    ids=["embedding", "encoder-decoder", "no operator", "labels"],
)
def test_model_is_refused_before_its_weights_are_fetched(
    changes: dict[str, object], reason: str, published: Path, hub: Hub, tmp_path: Path
) -> None:
    """The files of a few kilobytes show that the model cannot be exported, and gigabytes are not fetched."""
    path = published / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert refuse(hub, MODEL, tmp_path).startswith(reason)
    assert sorted(hub.fetched) == sorted(NEEDED - {"model.safetensors"})


def test_tokenizer_is_refused_before_the_weights_are_fetched(published: Path, hub: Hub, tmp_path: Path) -> None:
    """A tokenizer that has no tokenizer.json format is known by its class."""
    (published / "tokenizer.json").unlink()
    path = published / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "BertJapaneseTokenizer"}))
    line = refuse(hub, MODEL, tmp_path)
    assert line == f"{MODEL} has no tokenizer.json, and transformers cannot convert a BertJapaneseTokenizer to it"
    assert "model.safetensors" not in hub.fetched


def test_cached_model_is_found_offline(hub: Hub, tmp_path: Path) -> None:
    """The branch's name works, too. Another revision is not in the cache, and the message says so."""
    assert fetch(MODEL, tmp_path, hub.environment) == (COMMIT, NEEDED)
    hub.fetched.clear()
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    for revision in ("", "main", COMMIT):
        assert fetch(MODEL, tmp_path, offline, revision=revision) == (COMMIT, NEEDED)
    assert fetch(MODEL, tmp_path, hub.environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}) == (COMMIT, NEEDED)
    line = refuse(hub, MODEL, tmp_path, "--revision", "v1", **offline)
    assert line.startswith(f"{MODEL} at v1 is neither a local folder nor in the hub's cache ({tmp_path}/hf/hub)")
    assert hub.fetched == []


def test_pickled_weights_are_fetched_without_safetensors(published: Path, hub: Hub, tmp_path: Path) -> None:
    """Older models have only a pytorch_model.bin."""
    (published / "model.safetensors").unlink()
    names = NEEDED - {"model.safetensors"} | {"pytorch_model.bin"}
    assert fetch(MODEL, tmp_path, hub.environment) == (COMMIT, names)
    assert sorted(hub.fetched) == sorted(names)


def test_all_parts_of_split_weights_are_fetched(published: Path, hub: Hub, tmp_path: Path) -> None:
    """The config in the folder of a sentence-transformers module is fetched, too."""
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


def test_code_is_fetched_only_if_it_is_trusted(hub: Hub, tmp_path: Path) -> None:
    """Code that is not fetched cannot run."""
    assert fetch(MODEL, tmp_path, hub.environment)[1] == NEEDED
    assert fetch(MODEL, tmp_path, hub.environment, trusted=True)[1] == NEEDED | {"training.py"}


def test_gated_model_is_fetched_with_a_token(hub: Hub, tmp_path: Path) -> None:
    """Without a token, or with a wrong one, the message says what to do."""
    assert refuse(hub, GATED, tmp_path) == (
        f"{GATED} is gated: accept its terms on the hub, then set HF_TOKEN to a token of that account"
    )
    assert refuse(hub, GATED, tmp_path, HF_TOKEN="hf_other") == (
        "the hub rejects the token from HF_TOKEN or `hf auth login`: set a valid one"
    )
    assert fetch(GATED, tmp_path, hub.environment | {"HF_TOKEN": TOKEN}) == (COMMIT, NEEDED)


def test_proxy_is_used(hub: Hub, tmp_path: Path) -> None:
    """The local hub acts as the proxy: it is asked for files of another host."""
    environment = {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": hub.url, "NO_PROXY": ""}
    assert fetch(MODEL, tmp_path, hub.environment | environment) == (COMMIT, NEEDED)
    assert hub.hosts == {"hub.invalid"}


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (
            "org/none",
            [],
            "org/none is neither a local folder nor a public model on the hub: check the name, or set HF_TOKEN",
        ),
        (MODEL, ["--revision", "no-such"], f"{MODEL} has no revision 'no-such'"),
        ("no/such/name", [], "'no/such/name' is neither a local folder nor a valid model name on the hub"),
    ],
)
def test_refusal_of_the_hub_is_one_line(model: str, options: list[str], reason: str, hub: Hub, tmp_path: Path) -> None:
    """The name is unknown, the revision is unknown, or the name is invalid."""
    assert refuse(hub, model, tmp_path, *options).startswith(reason)


def test_message_without_network_names_the_variables(hub: Hub, tmp_path: Path) -> None:
    """The network is forbidden, the hub does not answer, or the hub has an error."""
    assert "and HF_HUB_OFFLINE forbids to fetch it" in refuse(hub, MODEL, tmp_path, HF_HUB_OFFLINE="1")
    unreachable = refuse(hub, MODEL, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert unreachable == (
        f"{MODEL} is not a local folder, and the hub does not answer: give a folder, or check the network "
        "(HTTPS_PROXY, HF_ENDPOINT)"
    )
    hub.fails = True
    assert "the hub does not answer (503 Server Error: Service Unavailable" in refuse(hub, MODEL, tmp_path)


def test_proxy_that_does_not_answer_is_named(hub: Hub, tmp_path: Path) -> None:
    """The message does not blame the hub."""
    line = refuse(hub, MODEL, tmp_path, HF_ENDPOINT="http://hub.invalid", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="")
    assert line == f"cannot fetch {MODEL}: the proxy in HTTPS_PROXY does not answer"


def test_broken_connection_is_one_line(hub: Hub, tmp_path: Path) -> None:
    """The next attempt succeeds."""
    hub.breaks = {"model.safetensors"}
    line = refuse(hub, MODEL, tmp_path, HF_HUB_DISABLE_XET="1")
    assert line.startswith(f"the connection to the hub broke while {MODEL} was being fetched: try again")
    hub.breaks.clear()
    assert fetch(MODEL, tmp_path, hub.environment) == (COMMIT, NEEDED)


def test_ctrl_c_during_the_download_leaves_only_the_cache(hub: Hub, tmp_path: Path) -> None:
    """The next attempt finds the fetched files in the cache."""
    hub.stalls = "model.safetensors"
    process = start_rerank("export", MODEL, cwd=tmp_path, **(hub.environment | {"HF_HOME": str(tmp_path / "hf")}))
    assert hub.stalled.wait(60)
    process.send_signal(signal.SIGINT)
    hub.go_on.set()
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert {path.name for path in tmp_path.iterdir()} == {"hf", "published"}


def test_repository_without_weights_is_described_by_its_files(published: Path, hub: Hub, tmp_path: Path) -> None:
    """The other files are listed, not fetched."""
    (published / "model.safetensors").unlink()
    (published / "pytorch_model.bin").unlink()
    line = refuse(hub, MODEL, tmp_path)
    assert line.startswith(f"{MODEL} has no weights that can be exported (model.safetensors or pytorch_model.bin): ")
    assert "it is already exported; pass its folder to `" in line
    assert line.endswith("rerank serve --model`")
    assert "onnx/model.onnx" not in hub.fetched
    line = refuse(hub, MODEL, tmp_path, HF_HUB_OFFLINE="1")
    assert line.endswith("or pytorch_model.bin) (HF_HUB_OFFLINE is set: only the local cache was searched)")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["config.json"], "or pytorch_model.bin)"),
        (["tf_model.h5", "flax_model.msgpack"], ", only weights for Flax and TensorFlow"),
        (["adapter_config.json", "adapter_model.safetensors"], ": it is an adapter; merge it into its base model"),
    ],
    ids=str,
)
def test_message_for_missing_weights_names_the_format(names: list[str], reason: str) -> None:
    """Folders and repositories have the same message."""
    assert reason in missing_weights("model", names)

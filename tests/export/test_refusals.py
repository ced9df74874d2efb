"""What cannot be exported: one line that says why, exit status 1, and nothing left behind."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from rerank_export import exporter
from rerank_export.parity import Parity
from rerank_export.scoring import Scoring
from rerank_export.source import Source
from rerank_service.__main__ import main
from rerank_service.models.bundle import Bundle, open_bundle
from support.commands import start_rerank

Refuse = Callable[..., str]


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Runs `rerank export MODEL --out OUT`, which must fail, and gives the line that says why."""

    def run(model: str | Path, out: str | Path = "out") -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["rerank", "export", str(model), "--out", str(out)])
        capsys.readouterr()  # what the fixtures said
        assert main() == 1
        said = capsys.readouterr()
        assert said.out == ""
        *_, last = said.err.splitlines()
        assert "Traceback" not in said.err
        assert last.startswith("rerank export: ")
        return last.removeprefix("rerank export: ")

    return run


@pytest.fixture
def source(sources: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT to spoil."""
    return shutil.copytree(sources("bert"), tmp_path_factory.mktemp("spoilt") / "model")


def _change_config(source: Path, **changes: Any) -> None:
    path = source / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def _perturbed(source: Source, scoring: Scoring, folder: Path) -> onnx.ModelProto:
    """A graph with one weight that is not the model's."""
    from rerank_export.graph import export_graph

    model = export_graph(source, scoring, folder)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("classifier.bias"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 0.01, weight.name))
    return model


def test_a_graph_that_scores_otherwise_is_no_bundle(
    source: Path, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate: one weight off by a hundredth, and there is no bundle, nor anything of the attempt."""
    monkeypatch.setattr(exporter, "export_graph", _perturbed)
    line = refuse(source)
    assert "model: the exported graph does not score as the model does: logits differ by up to 1.0e-02" in line
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_old_bundle(
    source: Path, bundles: Callable[[str], Bundle], refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was served before can be served still."""
    old = shutil.copytree(bundles("bert").folder, tmp_path / "out")
    monkeypatch.setattr(exporter, "export_graph", _perturbed)
    refuse(source)
    assert open_bundle(old).manifest == bundles("bert").manifest
    assert list(tmp_path.iterdir()) == [old]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process grows beyond 64 KiB: a disk that is full, for who writes more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing(source: Path, refuse: Refuse, tmp_path: Path, small_files: None) -> None:
    """At the first large file, which is another library's."""
    assert refuse(source).startswith("there is no space left where out was to be made, and nothing was left there")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path, source: Path) -> Iterator[Path]:
    """A file system with room for the exported graph, and not for a bundle beside it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = 2 * (source / "model.safetensors").stat().st_size // 4096 * 4
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("file systems are mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_later_keeps_the_old_bundle(
    source: Path, bundles: Callable[[str], Bundle], refuse: Refuse, small_disk: Path
) -> None:
    """When the bundle itself is written: half-written weights are cleared away."""
    (small_disk / "note").write_text("kept")
    assert refuse(source, small_disk / "out").startswith("there is no space left where ")
    assert [path.name for path in small_disk.iterdir()] == ["note"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_export_leaves_nothing(
    number: signal.Signals, status: int, source: Path, tmp_path: Path
) -> None:
    """Ctrl-C, and the end that CI and Docker ask for, once the work has begun."""
    process = start_rerank("export", str(source), "--out", "made/out", cwd=tmp_path)
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("exporting"))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


_BUSY = """
import hashlib, sys
from rerank_export import command, exporter
from rerank_service.__main__ import main

command._PATIENCE_SECONDS = 0.1

def busy(*_):
    print("busy", file=sys.stderr, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

exporter.export_graph = busy
sys.exit(main())
"""


def test_an_export_in_native_code_leaves_nothing_either(source: Path, tmp_path: Path) -> None:
    """Which Python does not come out of for minutes, and Docker kills after ten seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BUSY, "export", str(source), "--out", "made/out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("busy"))
    assert list(tmp_path.iterdir())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=9)
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_a_stop_that_foreign_code_takes_for_an_error_is_a_stop(
    source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Modules that are told to end while they are loaded say that they cannot be."""

    def loading(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit as stop:
            raise ImportError("initialization failed") from stop

    monkeypatch.setattr(exporter, "export_graph", loading)
    monkeypatch.setattr(sys, "argv", ["rerank", "export", str(source), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="143"):
        main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("/proc/x/y", "/proc/x/y cannot be written (/proc: "),
        ("/etc/passwd/x", "/etc/passwd/x cannot be written (/etc/passwd: Not a directory): choose another OUT"),
    ],
)
def test_out_that_cannot_be_written_is_told_before_anything_is_fetched(
    out: str, reason: str, refuse: Refuse, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is a hub asked."""
    assert refuse("org/model", out).startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["BertModel"]}, "model is a BertModel, neither a cross-encoder"),
        (
            {"architectures": ["BertForTokenClassification"]},
            "model is a BertForTokenClassification, neither",
        ),
        ({"architectures": ["BertForMaskedLM"]}, "model is a BertForMaskedLM, neither a cross-encoder"),
        ({"architectures": ["BertLMHeadForCausalLM"]}, "model generates text and is a bert; exported are gemma, "),
        ({"architectures": None}, "model is a model without a stated architecture, neither a cross-encoder"),
        (
            {"id2label": {"0": "a", "1": "b"}},
            "model has two labels (0 a, 1 b), and it is not clear which means relevant: say so with --relevant",
        ),
        ({"id2label": None, "label2id": None}, "model has two labels (0 LABEL_0, 1 LABEL_1), and it is not clear"),
        (
            {"id2label": None, "label2id": None, "num_labels": 3},
            "model has 3 labels (0 LABEL_0, 1 LABEL_1, 2 LABEL_2); a cross-encoder that is served here has one or two",
        ),
        ({"model_type": "unheard-of"}, "transformers cannot read config.json of model: "),
    ],
    ids=[
        "embedding",
        "tokens",
        "words",
        "generator",
        "unstated",
        "two labels",
        "two by default",
        "num_labels",
        "unknown type",
    ],
)
def test_another_kind_of_model_is_refused(
    changes: dict[str, Any], reason: str, source: Path, refuse: Refuse, tmp_path: Path
) -> None:
    """Only what gives one score for a pair is exported; the line says what the model is."""
    _change_config(source, **changes)
    assert refuse(source).startswith(reason)
    assert list(tmp_path.iterdir()) == []


def test_one_label_may_be_stated_as_a_number(source: Path, tmp_path: Path) -> None:
    """Older configs have num_labels and no id2label."""
    _change_config(source, id2label=None, label2id=None, num_labels=1)
    exporter.export(str(source), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("config.json", "model has no config.json: it is not a model in the form of the Hugging Face hub"),
        ("model.safetensors", "model has no weights that can be exported (model.safetensors or pytorch_model.bin)"),
        ("vocab.txt", "transformers cannot load the tokenizer of model: "),
    ],
)
def test_a_missing_file_is_named(name: str, reason: str, source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """Of a folder that is not whole, the line says what it lacks."""
    (source / name).unlink()
    if name == "vocab.txt":
        (source / "tokenizer.json").unlink()
    assert refuse(source).startswith(reason)
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_are_named(source: Path, refuse: Refuse) -> None:
    """transformers would make them up, differently each time."""
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert refuse(source) == "model lacks weights: classifier.weight"


def _unlike(score: float, batch: float) -> Parity:
    return Parity(pairs=1, tolerance=1e-4, max_difference=score, max_batch_difference=batch, worst_pair=0)


@pytest.mark.parametrize("parity", [_unlike(float("nan"), 0), _unlike(0, float("nan")), _unlike(0, 2e-4)], ids=str)
def test_parity_fails_where_either_difference_is_not_small(parity: Parity) -> None:
    """A NaN is no small difference, on whichever side."""
    assert not parity.holds
    assert _unlike(1e-5, 1e-5).holds


@pytest.mark.parametrize("model", ["/no/such/folder", "./no/such/folder", "..no"])
def test_a_folder_that_is_not_there(model: str, refuse: Refuse, tmp_path: Path) -> None:
    """What can only be a path is not looked for on the hub."""
    assert refuse(model) == f"{model} is not a folder"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_a_model_of_the_hub(refuse: Refuse) -> None:
    """A relative path that is not there is told as both."""
    assert refuse("a/b/c") == "'a/b/c' is neither a folder here nor the name of a model on the hub"


@pytest.fixture
def occupied(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """An OUT that holds something else, and must still hold it afterwards."""
    out = tmp_path / "mine"
    out.mkdir()
    file = out / request.param
    file.write_text('{"name": "an extension for browsers", "manifest_version": 3}')
    yield out
    assert [path.name for path in out.iterdir()] == [request.param]


@pytest.mark.parametrize("occupied", ["notes.txt", "manifest.json"], indirect=True)
def test_out_that_is_no_bundle_is_left_alone(occupied: Path, source: Path, refuse: Refuse) -> None:
    """Nor is a folder taken for a bundle because it has a manifest.json of somebody else's."""
    assert refuse(source, occupied) == f"{occupied} is there and is no bundle: choose another OUT, or remove it"


def test_out_that_is_a_file_is_left_alone(source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """A file is not replaced by a folder."""
    (tmp_path / "out").touch()
    assert refuse(source) == "out is there and is no bundle: choose another OUT, or remove it"


def test_out_that_leads_to_itself_is_told(source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """A link to itself is neither a folder nor a place for one."""
    (tmp_path / "out").symlink_to("out")
    assert refuse(source) == "out leads nowhere, as a link to itself does: choose another OUT"


def test_out_that_is_a_mounted_volume_is_told_at_once(source: Path, refuse: Refuse, small_disk: Path) -> None:
    """It cannot be renamed, which would be found out after the work."""
    line = refuse("org/model", small_disk)
    assert line == f"{small_disk} is a mounted volume, which cannot be replaced as a whole: choose a folder in it"


def test_a_model_in_an_old_bundle_is_not_replaced_with_it(
    source: Path, bundles: Callable[[str], Bundle], refuse: Refuse, tmp_path: Path
) -> None:
    """The source would be lost."""
    old = shutil.copytree(bundles("bert").folder, tmp_path / "out")
    inside = shutil.copytree(source, old / "model")
    assert refuse("out/model").startswith("out/model lies in out, and would be lost when that is replaced: ")
    assert (inside / "model.safetensors").is_file()


def test_an_old_bundle_stays_where_the_new_one_cannot_be_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another export is writing there, or this one is told to end just then."""
    from rerank_export.out import replace

    out, made = tmp_path / "out", tmp_path / "work/bundle"
    made.mkdir(parents=True)
    out.mkdir()
    (out / "old").touch()
    rename = Path.replace

    def stopped(self: Path, target: Path) -> Path:
        if self == made:
            raise SystemExit(143)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(SystemExit):
        replace(made, out)
    assert [path.name for path in out.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("modules.json", "{", "modules.json of model is not JSON: "),
        (
            "modules.json",
            '[{"type": "a.Transformer"}, {"type": "a.LogitScore"}]',
            "config.json of model names no tokens whose logits are the score: give --yes and --no",
        ),
        (
            "config_sentence_transformers.json",
            '{"prompts": 3, "default_prompt_name": ["x"]}',
            "model has no prompt ['x'], which config_sentence_transformers.json makes the default",
        ),
    ],
)
def test_nonsense_in_files_of_sentence_transformers_is_told(
    name: str, content: str, reason: str, source: Path, refuse: Refuse
) -> None:
    """With the file, and without a trace."""
    (source / name).write_text(content)
    assert refuse(source).startswith(reason)


def test_labels_that_are_not_numbered_from_0_are_refused(source: Path, refuse: Refuse) -> None:
    """Which logit is whose is not clear."""
    _change_config(source, id2label={"1": "no", "2": "yes"}, label2id=None)
    assert refuse(source).startswith("model has 2 labels (1 no, 2 yes); a cross-encoder that is served here has one")


def test_weights_that_are_not_finite_are_named(source: Path, refuse: Refuse) -> None:
    """Also where no pair of the parity set reads them."""
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][299, 0] = float("nan")
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert refuse(source) == (
        "model has weights that are not finite (bert.embeddings.word_embeddings.weight): fetch it anew, or another "
        "revision"
    )


def test_weights_that_cannot_be_read_are_told_by_torch(source: Path, refuse: Refuse) -> None:
    """And not by optimum's second try, with TensorFlow."""
    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(b"\x80\x04K\x03.")
    line = refuse(source)
    assert line.startswith("optimum cannot export model: ")
    assert "tensorflow" not in line


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("latin.txt", "--template latin.txt is not UTF-8 text"),
        ("x" * 5000, "--template 'xxx"),
    ],
    ids=["encoding", "a long text"],
)
def test_a_template_that_is_none_is_told(
    template: str,
    reason: str,
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a short line."""
    (tmp_path / "latin.txt").write_bytes(b"\xff{query} {document}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rerank", "export", str(source), "--template", template])
    assert main() == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"rerank export: {reason}")
    assert len(last) < 500


def test_a_step_that_lower_cases_is_refused(sources: Callable[[str], Path], refuse: Refuse, tmp_path: Path) -> None:
    """Where the tokenizer does not, sentence-transformers would read other words."""
    source = shutil.copytree(sources("roberta"), tmp_path / "model")
    (source / "modules.json").write_text('[{"type": "sentence_transformers.models.Transformer", "path": ""}]')
    (source / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert "says that texts are lower-cased (do_lower_case), which tokenizer.json does not do" in refuse(source)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--max-tokens", "9", "the window is too small for the pairs that bundles are compared on: query has "),
        ("--template", "x " * 600 + "{query} {document}", "tokenizer.json: the template alone has "),
    ],
    ids=["window", "template"],
)
def test_a_window_without_room_is_told(
    option: str,
    value: str,
    reason: str,
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the folder that was worked in, which is gone."""
    monkeypatch.setattr(sys, "argv", ["rerank", "export", str(source), "--out", str(tmp_path / "out"), option, value])
    assert main() == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"rerank export: {reason}")

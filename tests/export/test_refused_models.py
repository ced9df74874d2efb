"""Models that cannot be exported: one line with the reason, exit status 1, and nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerank_export.export_request import ExportRequest
from rerank_export.exporter import export

Refuse = Callable[..., str]


def _change_config(source: Path, **changes: Any) -> None:
    """Change fields of config.json; None removes a field."""
    path = source / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["BertModel"]}, "model cannot score a pair: its architecture BertModel is neither"),
        (
            {"architectures": ["BertForTokenClassification"]},
            "model cannot score a pair: its architecture BertForTokenClassification is neither",
        ),
        ({"architectures": ["BertForMaskedLM"]}, "model cannot score a pair: its architecture BertForMaskedLM is"),
        (
            {"architectures": ["BertLMHeadForCausalLM"]},
            "model is a text generator of type bert, which cannot be exported: supported types are arcee, ",
        ),
        ({"architectures": None}, "model cannot score a pair: its architecture (missing in config.json) is neither"),
        (
            {"id2label": {"0": "a", "1": "b"}},
            "model has two labels (0 a, 1 b), and their names do not show which one means relevant: set --relevant",
        ),
        ({"id2label": None, "label2id": None}, "model has two labels (0 LABEL_0, 1 LABEL_1), and their names do not"),
        (
            {"id2label": None, "label2id": None, "num_labels": 3},
            "model has 3 labels (0 LABEL_0, 1 LABEL_1, 2 LABEL_2); only one or two labels can be exported",
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
def test_model_that_scores_no_pairs_is_refused(
    changes: dict[str, Any], reason: str, source: Path, refuse: Refuse, tmp_path: Path
) -> None:
    """The line names the kind of the model."""
    _change_config(source, **changes)
    assert refuse(source).startswith(reason)
    assert list(tmp_path.iterdir()) == []


def test_num_labels_of_one_is_accepted(source: Path, tmp_path: Path) -> None:
    """Older configs have num_labels instead of id2label."""
    _change_config(source, id2label=None, label2id=None, num_labels=1)
    export(ExportRequest(str(source), tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("config.json", "model has no config.json: it is not a model in the Hugging Face format"),
        ("model.safetensors", "model has no weights that can be exported (model.safetensors or pytorch_model.bin)"),
        ("vocab.txt", "model has no tokenizer: neither tokenizer.json nor a file of an older format such as "),
    ],
)
def test_missing_file_is_named(name: str, reason: str, source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """An incomplete folder is refused before the graph is exported."""
    (source / name).unlink()
    if name == "vocab.txt":
        (source / "tokenizer.json").unlink()
    assert refuse(source).startswith(reason)
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_are_named(source: Path, refuse: Refuse) -> None:
    """transformers would initialize them at random."""
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert refuse(source) == "model lacks the weights classifier.weight: fetch a complete model"


@pytest.mark.parametrize("model", ["/no/such/folder", "./no/such/folder", "..no"])
def test_missing_folder_is_refused(model: str, refuse: Refuse, tmp_path: Path) -> None:
    """The hub is not asked for a name that can only be a path."""
    assert refuse(model) == f"the folder {model} does not exist"
    assert list(tmp_path.iterdir()) == []


def test_name_that_is_neither_folder_nor_hub_id_is_refused(refuse: Refuse) -> None:
    """The message covers both meanings of the name."""
    assert refuse("a/b/c") == "'a/b/c' is neither a local folder nor a valid model name on the hub"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("modules.json", "{", "modules.json of model is not JSON: "),
        (
            "modules.json",
            '[{"type": "a.Transformer"}, {"type": "a.LogitScore"}]',
            "config.json of model has no valid true_token_id and false_token_id: set --yes and --no",
        ),
        (
            "config_sentence_transformers.json",
            '{"prompts": 3, "default_prompt_name": ["x"]}',
            "config_sentence_transformers.json of model has no prompt ['x'], the value of its default_prompt_name",
        ),
    ],
)
def test_invalid_sentence_transformers_file_is_named(
    name: str, content: str, reason: str, source: Path, refuse: Refuse
) -> None:
    """The message names the file, and there is no traceback."""
    (source / name).write_text(content)
    assert refuse(source).startswith(reason)


def test_labels_not_numbered_from_0_are_refused(source: Path, refuse: Refuse) -> None:
    """Such labels do not show which logit belongs to which label."""
    _change_config(source, id2label={"1": "no", "2": "yes"}, label2id=None)
    assert refuse(source).startswith("model has 2 labels (1 no, 2 yes); only one or two labels can be exported")


def test_weights_that_are_not_finite_are_named(source: Path, refuse: Refuse) -> None:
    """No pair of the parity set need use them."""
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][299, 0] = float("nan")
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    assert refuse(source) == (
        "model has weights that are NaN or infinite (bert.embeddings.word_embeddings.weight): fetch it again, or "
        "another revision"
    )


def test_unreadable_weights_are_reported_by_torch(source: Path, refuse: Refuse) -> None:
    """The message is not that of optimum's second attempt, with TensorFlow."""
    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(b"\x80\x04K\x03.")
    line = refuse(source)
    assert line.startswith("torch cannot export model: ")
    assert "tensorflow" not in line


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("latin.txt", "--template latin.txt is not UTF-8 text"),
        ("x" * 5000, "--template 'xxx"),
    ],
    ids=["encoding", "a long text"],
)
def test_invalid_template_is_named(template: str, reason: str, source: Path, refuse: Refuse, tmp_path: Path) -> None:
    """A long template is abbreviated."""
    (tmp_path / "latin.txt").write_bytes(b"\xff{query} {document}")
    line = refuse(source, "out", "--template", template)
    assert line.startswith(reason)
    assert len(line) < 500


def test_lower_casing_that_the_tokenizer_lacks_is_refused(
    sources: Callable[[str], Path], refuse: Refuse, tmp_path: Path
) -> None:
    """sentence-transformers would lower-case the texts, and the server would not."""
    source = shutil.copytree(sources("roberta"), tmp_path / "model")
    (source / "modules.json").write_text('[{"type": "sentence_transformers.models.Transformer", "path": ""}]')
    (source / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert "do_lower_case" in refuse(source)


@pytest.mark.parametrize("name", ["", "m3 ", "m\n3", "m" * 256])
def test_invalid_name_is_refused_before_the_download(name: str, refuse: Refuse) -> None:
    """Not after gigabytes of weights. The hub is not asked for the model."""
    assert refuse("org/model", "out", "--name", name).startswith("--name '")


@pytest.mark.parametrize("name", ["m3 ", "m\n3"])
def test_folder_without_a_model_name_is_refused_before_the_download(name: str, refuse: Refuse) -> None:
    """The model gets the name of the folder, unless an option gives it another."""
    line = refuse("org/model", f"out/{name}")
    assert line.startswith(f"the name of the output folder, {name!r}, is no name of a model: set --name to 1 to 255 ")
    assert "is no name of a model" not in refuse("org/model", f"out/{name}", "--name", "m3")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--max-tokens", "9", "the window is too small for the built-in pairs of the comparison: "),
        ("--template", "x " * 600 + "{query} {document}", "tokenizer.json: "),
    ],
    ids=["window", "template"],
)
def test_window_without_room_is_refused(option: str, value: str, reason: str, source: Path, refuse: Refuse) -> None:
    """The message does not name the work folder, which no longer exists."""
    assert refuse(source, "out", option, value).startswith(reason)

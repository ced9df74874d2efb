"""The models file: valid entries, and errors of one line. Covers models_file.py, fields.py and bundle_name.py."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.engine.kinds import Precision, Provider
from rerank_service.errors import SettingsInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import Load, ModelEntry
from rerank_service.models.catalog.fields import ALLOWED, EntryFields
from rerank_service.models.catalog.reading import read_catalog
from rerank_service.models.files import STARTER
from support.hub_folder import write_hub_folder

PAGE = (Path(__file__).parents[4] / "docs" / "models-file.md").read_text()
DIGEST = "4fe9cd73e329b8d4d462a4910ab6ddea03fd8fac37ba0a76645052d0b5b9d646"


@pytest.fixture(scope="module")
def file(small_model: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a models file. Beside it, `m` and `minilm` are links to the small model."""
    folder = tmp_path_factory.mktemp("catalog")
    for name in ("m", "minilm"):
        (folder / name).symlink_to(small_model.folder)
    return folder / "models.yaml"


def _read(file: Path, content: str | bytes) -> tuple[ModelEntry, ...]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_catalog(file)


def _rejection(file: Path, content: str | bytes) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        _read(file, content)
    message = str(caught.value)
    assert message.startswith(f"--models {file}: ")
    assert message.isprintable()
    return message.removeprefix(f"--models {file}: ")


def test_example_of_the_documentation_is_accepted(file: Path) -> None:
    """It has every field, and the table describes each with the allowed values."""
    example, anchors = (
        block.replace("/var/lib/rerank/bge-m3", "m") for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    )
    minilm, bge, exact = _read(file, example)
    assert minilm == ModelEntry(
        folder=file.parent / "minilm",
        place="models.yaml, line 1",
        name="minilm",
        aliases=("fast", "ms-marco-MiniLM-L6-v2"),
        weight=3,
        lanes=4,
    )
    assert bge == ModelEntry(
        folder=file.parent / "m",
        place="models.yaml, line 6",
        name="bge-m3",
        provider=Provider.CPU,
        precision=Precision.INT8,
        max_live_documents=20_000,
        max_live_tokens=5_000_000,
        digest=DIGEST,
    )
    assert (exact.load, exact.unload_after, exact.precision) == (Load.ON_DEMAND, 600, Precision.FP32)
    assert [(entry.name, entry.max_live_documents, entry.weight) for entry in _read(file, anchors)] == [
        ("search", 20_000, 1.0),
        ("batch", 20_000, 0.2),
    ]
    for field in EntryFields.model_fields:
        assert f"{field}: " in example
        assert f"| `{field}` | " in PAGE
    assert ALLOWED.keys() == EntryFields.model_fields.keys()


def test_errors_of_the_documentation_are_real(file: Path) -> None:
    """The page shows two messages."""
    first = _rejection(file, "- bundle: m\n  name: fast\n- bundle: m\n  name: b\n  weight: 0")
    second = _rejection(file, "- name: fast\n  bundle: m\n" + "\n" * 4 + "- bundle: m\n  name: fast")
    for message in (first, second):
        assert f"--models models.yaml: {message}\n" in PAGE


def test_names_come_from_the_bundle(file: Path, small_model: Bundle) -> None:
    """If the entry has none. The place is the first line of the entry."""
    [entry] = _read(file, "\n# models\n- bundle: m\n")
    assert (entry.name, entry.place) == (small_model.manifest.name, "models.yaml, line 3")


def test_names_of_hub_folders_are_those_of_the_folders(tmp_path: Path) -> None:
    """An entry may also name a graph in a hub folder."""
    write_hub_folder(tmp_path / "hub")
    first, second = _read(tmp_path / "models.yaml", "- bundle: hub\n- {bundle: hub/model.onnx, name: other}")
    assert (first.name, first.folder) == ("hub", tmp_path / "hub")
    assert second.folder == tmp_path / "hub" / "model.onnx"


def test_json_is_read(file: Path) -> None:
    """A digest may be in upper case."""
    [entry] = _read(file, f'[{{\n\t"bundle": "m", "digest": "{DIGEST.upper()}"}}]')
    assert (entry.folder, entry.digest) == (file.parent / "m", DIGEST)


_COUNT = "a whole number from 1 to 2,147,483,647"
_NAME = "1 to 128 printable characters"


@pytest.mark.parametrize(
    ("field", "values", "allowed"),
    [
        ("bundle", ["''", "1", "[m]", "{a: b}", "2027-01-31", ""], "the path of a model folder"),
        ("name", ["''", "' a'", "1", "true", '"a\\nb"', "[a]", f"{'a' * 129}"], _NAME),
        ("aliases", ["a", "1", "{a: b}", "[1]", "['']", "[[a]]", "[null]"], "a list of names"),
        ("provider", ["tpu", "CPU", "1", "null"], "auto, cpu, openvino or cuda"),
        ("precision", ["fp64", "8", "null"], "auto, fp32, bf16, fp16 or int8"),
        ("lanes", ["0", "-1", "1025", "1.5", "'5'", "true", ".inf"], "a whole number from 1 to 1,024"),
        ("weight", ["0", "-1", "101", ".nan", ".inf", "'5'", "true", "null"], "a number from 0.01 to 100"),
        ("max_live_documents", ["0", "1e3", "2147483648", "0x" + "f" * 9999], _COUNT),
        ("max_live_tokens", ["0", "1_000.5", "2147483648", "[1]"], _COUNT),
        ("load", ["pinned", "true", "null"], "start or on_demand"),
        ("unload_after", ["0", "-1", "31536001", ".nan", "'5'", "10s"], "seconds, above 0 and at most 31,536,000"),
        ("digest", ["abc", "1", f"{DIGEST}0", f"'{DIGEST[:-1]}g'"], "64 hexadecimal digits, as `rerank models --wide`"),
    ],
)
def test_wrong_value_names_line_field_value_and_bound(file: Path, field: str, values: list[str], allowed: str) -> None:
    """The value is shown in few characters. Its type stands for a list, a mapping and a date."""
    other = "" if field == "bundle" else "  bundle: m\n"
    for value in values:
        message = _rejection(file, f"- {{bundle: m, name: a}}\n-\n{other}  {field}: {value}")
        line = 3 + bool(other)
        assert re.match(rf"line {line}: {field} (is|has) .{{1,110}}: give {re.escape(allowed)}", message), message


@pytest.mark.parametrize("field", ["name", "aliases", "lanes", "max_live_documents", "unload_after", "digest"])
def test_empty_value_is_an_error(file: Path, field: str) -> None:
    """An empty line after a field must not mean its default."""
    assert _rejection(file, f"- bundle: m\n  {field}:").startswith(f"line 2: {field} has no value: give ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be a list of models, each with the field bundle"),
        ("models: [m]", "must be a list of models"),
        ("m", "must be a list of models"),
        ("[]", "has no model: add one"),
        ("- m", "line 1: must be a model, with the field bundle"),
        ("- bundle: m\n-", "line 2: must be a model, with the field bundle"),
        ("- bundle: m\n  1: 2", "line 1: must be a model, with the field bundle"),
        ("- name: a", "line 1: bundle is missing: give the path of a model folder"),
        (
            "- bundle: m\n  lane: 3",
            "line 2: the field 'lane' is unknown; did you mean lanes? The fields are ",
        ),
        ("- bundle: m\n  size: 3", "line 2: the field 'size' is unknown: the fields are bundle, name, aliases, "),
        ("- bundle: m\n  lanes: 1\n  lanes: 2", "line 3: has lanes twice: remove one of them"),
        ("- bundle: m\n  b: 1\n  b: 2", "line 3: has a field twice"),
        ("- bundle: none", "line 1: bundle is 'none': there is no file or folder '"),
        (f"- bundle: {'n' * 5000}", "line 1: bundle is 'nnn"),
        ('- bundle: "m\\0"', "line 1: bundle is 'm\\x00': there is no file or folder '"),
        ("- bundle: .", "line 1: bundle has no name: "),
        ("- bundle: m\n  unload_after: 9", "line 2: unload_after is 9: set load to on_demand, or remove unload_after"),
        ("- bundle: m\n  load: start\n  unload_after: 9", "line 3: unload_after is 9"),
        ("- bundle: m\n  name: 'a", "is neither YAML nor JSON, line 2"),
        ("- bundle: *m", "is neither YAML nor JSON, line 1, column 11"),
        ("- bundle: !!python/name:os.system m", "is neither YAML nor JSON, line 1"),
        (b"\xff\xfe\x00", "is neither YAML nor JSON"),
        ("- bundle: m\n  lanes: " + "9" * 5000, "is neither YAML nor JSON"),
        ("[" * 100_000, "is neither YAML nor JSON"),
        ("- bundle: m\n  aliases: &a [*a]", "line 2: aliases has a list: give a list of names"),
        ("&a [*a]", "line 1: must be a model"),
        (" " * (1024 * 1024 + 1), "has more than 1 MiB, the maximum for a models file"),
    ],
)
def test_wrong_file_is_one_line(file: Path, content: str | bytes, message: str) -> None:
    """With the line, if there is one."""
    assert _rejection(file, content).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- {bundle: m, name: a}\n- {bundle: m, name: a}", "line 2: name has 'a', a name of the model in line 1 al"),
        ("- {bundle: m}\n- {bundle: m}", "line 2: name has 'small', a name of the model in line 1 already"),
        ("- {bundle: m, aliases: [a, a]}", "line 1: aliases has 'a', a name of this model already"),
        ("- {bundle: m, name: a, aliases: [a]}", "line 1: aliases has 'a', a name of this model already"),
        ("- {bundle: m, aliases: [small]}", "line 1: aliases has 'small', a name of this model already"),
        (
            "- {bundle: m, name: a}\n-\n  bundle: m\n  name: b\n  aliases: [c, a]",
            "line 5: aliases has 'a', a name of the model in line 1 already: set another name",
        ),
        (
            "- {bundle: m, name: a, aliases: [b]}\n- {bundle: m, name: b}",
            "line 2: name has 'b', a name of the model in line 1 already",
        ),
        (
            "- {bundle: m, name: a, aliases: [c]}\n- {bundle: m, name: b, aliases: [c]}",
            "line 2: aliases has 'c', a name of the model in line 1 already",
        ),
        ("- {bundle: m, name: a}\n- {bundle: m, name: default}", "line 2: name has 'default', which means the first"),
        ("- {bundle: m, name: a}\n- {bundle: m, aliases: [default]}", "line 2: aliases has 'default', which means"),
    ],
)
def test_names_are_unique(file: Path, content: str, message: str) -> None:
    """Names and aliases, in one entry and in several. A request could mean either model."""
    assert _rejection(file, content).startswith(message)


def test_one_bundle_may_be_there_twice(file: Path) -> None:
    """With different names. The first model may be called default. Upper and lower case differ."""
    entries = _read(file, "- {bundle: m, name: default}\n- {bundle: m}\n- {bundle: ./m, name: Small}")
    assert [entry.name for entry in entries] == ["default", "small", "Small"]


def test_many_problems_are_counted(file: Path) -> None:
    """The message has the first five, in the order of their lines."""
    message = _rejection(file, "- bundle: m\n  lanes: 0\n" * 7)
    assert re.findall(r"line (\d+): lanes", message) == ["2", "4", "6", "8", "10"]
    assert message.endswith("; 2 more")


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """Missing, with a name that is too long, or a FIFO, which would block."""
    os.mkfifo(tmp_path / "fifo")
    for name, words in (
        ("none.yaml", "cannot be read: No such file or directory"),
        ("n" * 300, "cannot be read: File name too long"),
        ("fifo", "is not a regular file"),
    ):
        with pytest.raises(SettingsInvalid, match=f"--models {tmp_path / name}: {words}"):
            read_catalog(tmp_path / name)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.dates(), st.binary(max_size=4)
)
_VALUES = st.recursive(
    _SCALARS | st.sampled_from(["m", "minilm", "auto", "cpu", "int8", "on_demand", "start", 1, 2.5, DIGEST]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_SCALARS, inner, max_size=3),
    max_leaves=5,
)
_ENTRY = st.dictionaries(st.sampled_from(sorted(ALLOWED)) | st.text(max_size=5), _VALUES, max_size=5)
_LIKELY = st.builds(lambda entry, more: entry | more, _ENTRY, st.just({"bundle": "m"}) | st.just({}))


@given(st.lists(_LIKELY | _VALUES, max_size=4) | _VALUES)
def test_any_yaml_is_entries_or_one_line(file: Path, values: object) -> None:
    """Values of each type, in each field."""
    _check_total(file, yaml.safe_dump(values).encode())


_YAML_CHARACTERS = "-:[]{}&*!|>'\"\n\t ,#?<bundlem0\0é"


@given(st.binary(max_size=60) | st.text(_YAML_CHARACTERS, max_size=60).map(str.encode))
def test_any_content_is_entries_or_one_line(file: Path, content: bytes) -> None:
    """Bytes, and texts of characters that mean something in YAML."""
    _check_total(file, content)


def _check_total(file: Path, content: bytes) -> None:
    rejection = None
    try:
        assert all(entry.name for entry in _read(file, content))
    except SettingsInvalid as error:
        rejection = str(error)
    assert rejection is None or rejection.isprintable()


def test_starter_is_a_short_name(file: Path, small_model: Bundle) -> None:
    """Of the bundled starter model. A folder of that name beside the file has precedence."""
    [entry] = _read(file, "- bundle: starter")
    assert (entry.folder, entry.name) == (STARTER, "starter")
    (file.parent / "starter").symlink_to(small_model.folder)
    try:
        [entry] = _read(file, "- bundle: starter")
        assert entry.folder == file.parent / "starter"
    finally:
        (file.parent / "starter").unlink()

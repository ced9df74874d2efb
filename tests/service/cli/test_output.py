"""Output of commands: tables show texts literally, and wrong arguments are reported in one line."""

import io
import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from rerank.v1 import rerank_pb2 as pb
from rerank_service.cli.output.tables import model_json, model_table, ranking_table
from rerank_service.cli.output.tuning import engines_table
from rerank_service.models.tuning.record import TuningRecord
from support.command_lines import CommandLine, Outcome, run_all
from support.process import command, environment


def _shown(table: Table, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _ranking(query: str, *documents: str, model: str = "small", truncated: bool = False) -> str:
    results = [pb.Result(index=index, relevance_score=0.5, truncated=truncated) for index in range(len(documents))]
    return _shown(ranking_table(query, documents, pb.RerankResponse(model=model, results=results)))


@pytest.mark.parametrize("text", ["see [/docs]", "arr[/i]", "[red]x[/red] list[int]", ":smile: [link=a]b", r"a\[b]"])
def test_markup_in_texts_is_shown_literally(text: str) -> None:
    """In the query, in a document and in the model name."""
    shown = _ranking(text, text, model=text)
    assert shown.count(text) == 3


def test_control_characters_in_documents_are_replaced() -> None:
    """Line breaks and tabs become spaces; other control characters become U+FFFD."""
    assert "│ a b c d  e f g" in _ranking("q", "a\nb\rc\td\r\ne\x85f\u2028g")
    shown = _ranking("\x1b]0;title\x07", "\x1b[31mred\x1b[0m \x00 \x9b1m", "\ud800", model="\x1b[2J")
    assert not set(shown) & set(map(chr, (*range(10), *range(11, 32), *range(0x7F, 0xA0), 0xD800)))
    assert "\ufffd[31mred\ufffd[0m \ufffd \ufffd1m" in shown


def test_speeds_of_engines_are_relative_to_the_base_engine() -> None:
    """Not to another engine with fp32 that is faster."""
    speeds = {("openvino", "int8"): 2000, ("openvino", "fp32"): 1200, ("cpu", "fp32"): 1000}
    trials = [
        {"provider": provider, "precision": precision, "tokens_per_second": speed, "verdict": ""}
        for (provider, precision), speed in speeds.items()
    ]
    tuned = TuningRecord.model_validate({"form": "full", "provider": "openvino", "precision": "int8", "trials": trials})
    rows = [[cell.strip() for cell in line.split("│")] for line in _shown(engines_table(tuned)).splitlines()]
    assert [row[3] for row in rows if row[0] == "" and len(row) > 3] == ["2.00", "1.20", "1.00"]


def test_truncated_document_is_marked() -> None:
    """The mark follows the complete text."""
    assert "text[0] (cut)" in _ranking("q", "text[0]", truncated=True)


def test_long_document_shows_its_best_window() -> None:
    """The row has its position, and the caption the number of windows."""
    result = pb.Result(windows=3, best_window=pb.Span(start=6, end=9))
    usage = pb.Usage(windows=3, prompt_tokens=9)
    shown = _shown(ranking_table("q", ["first [b] third"], pb.RerankResponse(model="m", results=[result], usage=usage)))
    assert "│ [b] (best of 3 windows, characters 6 to 9) " in shown
    assert "m: 1 document, 3 windows, 9 tokens, less than 1 ms" in shown


def test_model_table_gives_the_reason_of_the_chosen_engine() -> None:
    """The reasons of the other engines need --wide."""
    model = pb.Model(name="a", choice="1.5 times cpu fp32 (full tuning); cpu int8: too much loss")
    assert "│ 1.5 times cpu fp32 (full tuning) (other engines: --wide) " in _shown(model_table(model), width=100)
    assert model.choice in _shown(model_table(model, wide=True), width=200)
    assert "--wide" not in _shown(model_table(pb.Model(name="a", choice="the only engine")), width=100)


def test_state_of_a_newer_server_is_shown() -> None:
    """By its number, in the table and in the JSON. proto3 enums are open."""
    assert "│ ready " in _shown(model_table(pb.Model(name="a", state=pb.MODEL_STATE_READY)))
    newer = pb.Model.FromString(pb.Model(name="a").SerializeToString() + b"\x80\x02\x63")  # field 32: 99
    assert "│ state 99 " in _shown(model_table(newer))
    assert json.loads(model_json(newer)) == {"name": "a", "state": "state 99"}


def test_model_table_fits_into_80_columns() -> None:
    """Markup is shown literally. The digest is short, and complete with --wide."""
    model = pb.Model(
        name="cross-encoder/ms-marco-MiniLM-L6-v2",
        aliases=["minilm", "list[int]"],
        source="cross-encoder/ms-marco-MiniLM-L6-v2",
        revision="c5ee24cb16019beea0893ab7796b1df96625c6b8",
        digest="d1" * 32,
        precision="fp32",
        provider="CPUExecutionProvider",
        max_tokens=512,
        max_documents=10_000,
        max_stream_documents=1_000_000,
        ready=True,
        verdict="drift allowed",
    )
    shown = _shown(model_table(model), width=80)
    for value in (
        model.name,
        "minilm, list[int]",
        model.revision,
        model.provider,
        "10,000",
        "1,000,000",
        model.verdict,
    ):
        assert f"│ {value} " in shown
    assert f"│ {model.digest[:12]} " in shown
    assert model.digest in _shown(model_table(model, wide=True))
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rank", "a", "b", "--top-n", "99999999999"), "--top-n is 99999999999"),
        (("rank", "a", "b", "--top-n", "-99999999999"), "--top-n is -99999999999"),
        (("rank", "a", "\udcff"), "an argument is not UTF-8 text"),
        (("rank", "\udcff", "a"), "an argument is not UTF-8 text"),
        (("rank", "a", "b", "--served-model", "\udcff"), "an argument is not UTF-8 text"),
        (("rank", "a", "b", "--api-key", "\udcff"), "an argument is not UTF-8 text"),
        (("rank", "a", "--file", "latin.txt"), "latin.txt:1: the line is not UTF-8 text: convert the file"),
        (("rank", "a", "--file", "-"), "standard input:1: the line is not UTF-8 text: convert the file"),
        (("rank", "a", "--format", "csv", "--file", "-"), "standard input:1: the header is not UTF-8 text"),
        (("rank", "a", "--format", "parquet", "--file", "-"), "standard input is not a Parquet file"),
        (("rank", "a", "--file", "absent.txt"), "absent.txt"),
        (("rank", "a", "--file", "."), "Is a directory"),
        (("rank", "a"), "give documents, --file or standard input"),
        (("rank", "a", "--file", "blank.txt"), "--file blank.txt has no document: give documents"),
        (("models", "--api-key", "\udcff"), "an argument is not UTF-8 text"),
        (("models", "--server", "\udcff"), "an argument is not UTF-8 text"),
        (("models", "--api-key", ""), "--api-key is empty"),
        (("models", "--api-key", "clé"), "--api-key has characters"),
        (("models", "--server", "ftp://localhost:1"), "--server ftp://localhost:1 has the unknown scheme ftp://"),
        (("rank", "a", "b", "--server", "localhost"), "--server localhost has no port: give localhost:50051"),
        (("rank", "a", "b", "--server", "localhost:"), "--server localhost: has no port: give localhost:50051"),
        (("rank", "a", "b", "--server", " "), "--server '' names no host"),
    ],
)
def test_wrong_argument_is_reported_in_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """The exit status is 2, or 1 for a file that cannot be read. No server is contacted."""
    unreadable = arguments[-1] in ("absent.txt", ".", "latin.txt", "-")
    latin = b"caf\xe9\n"
    (tmp_path / "latin.txt").write_bytes(latin)
    (tmp_path / "blank.txt").write_text("\n \n")
    done = subprocess.run(
        command(*arguments), input=latin, capture_output=True, cwd=tmp_path, env=environment(), timeout=60
    )
    assert (done.returncode, done.stdout) == (1 if unreadable else 2, b"")
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("rerank: ")
    assert words in line


def test_characters_of_a_file_do_not_change_the_terminal(tmp_path: Path) -> None:
    """A name of a column may have the escape of a terminal."""
    (tmp_path / "a.csv").write_text("id,\x1b[2Jname\n1,2\n")
    done = subprocess.run(
        command("rank", "a", "--file", "a.csv"), capture_output=True, cwd=tmp_path, env=environment(), timeout=60
    )
    assert b"a.csv:1: there is no column document or text; there are id, \\x1b[2Jname: name the column" in done.stderr


def test_closed_standard_input_is_reported_in_one_line() -> None:
    """A shell closes it with `<&-`."""
    words = shlex.join(command("rank", "a", "--file", "-"))
    done = subprocess.run(["sh", "-c", f"{words} <&-"], capture_output=True, text=True, env=environment(), timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rerank: --file - needs standard input, which is closed\n"


def test_help_shows_the_meaning_of_values() -> None:
    """It shows no Python types."""
    done = subprocess.run(command("serve", "--help"), capture_output=True, text=True, env=environment(), timeout=60)
    for flag in ("--model FOLDER", "--aliases NAME,NAME", "--api-keys KEY,KEY", "--lanes N", "--grace SECONDS"):
        assert flag in done.stdout
    assert "--api-keys-file FILE" in done.stdout
    for word in ("tuple[", "(default: None)", "(default: ())"):
        assert word not in done.stdout


UNKNOWN = {
    ("serve", "--gprc-port", "1"): "rerank serve: there is no option --gprc-port; did you mean --grpc-port?",
    ("serve", "--grpc_port=1"): "rerank serve: there is no option --grpc_port; did you mean --grpc-port?",
    ("serve", "extra"): "rerank serve: unexpected argument: extra",
    ("rank", "--fiel", "x"): "rerank rank: there is no option --fiel; did you mean --file?",
    ("rank", "a", "b", "--model", "x"): "rerank rank: there is no option --model: use --served-model",
    ("bench", "--model", "x"): "rerank bench: there is no option --model: use --served-model",
    ("eval", "--served-name", "x"): "rerank eval: there is no option --served-name: use --served-model",
    ("calibrate", "--bundle", "x"): "rerank calibrate: there is no option --bundle: use --model",
    ("export", "x", "--percisions", "y"): "rerank export: there is no option --percisions; did you mean --precisions?",
    ("rnak", "a"): "rerank: there is no command rnak; did you mean rank?",
    ("--vresion",): "rerank: there is no option --vresion; did you mean --version?",
    ("serve", "--lanes"): "rerank serve: argument --lanes: expected one argument",
}


def test_unknown_option_is_reported_with_a_suggestion(tmp_path: Path) -> None:
    """One line that ends with the command for help. The exit status is 2."""
    outcomes = run_all([CommandLine(arguments) for arguments in UNKNOWN], tmp_path)
    for message, outcome in zip(UNKNOWN.values(), outcomes, strict=True):
        program = message.partition(":")[0]
        assert outcome == Outcome(2, f"{message} (see {program} --help)\n")


def test_values_may_start_with_dashes() -> None:
    """After `--`, and in texts with spaces."""
    for arguments in (("rank", "--server", "127.0.0.1:1", "--", "--query", "--text"), ("rank", "--what is", "--a b")):
        done = subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            env=environment(RERANK_SERVER="127.0.0.1:1"),
            timeout=60,
        )
        assert done.returncode == 1
        assert "UNAVAILABLE" in done.stderr


def test_output_whose_reader_ended_is_no_error() -> None:
    """`rerank --help | head -1` prints nothing on standard error. The pipe has no reader from the start."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(command("--help"), stdout=writer, stderr=subprocess.PIPE, text=True, env=environment())
    os.close(writer)
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", [("eval", "--json"), ("eval", "--run"), ("bench", "--json")])
def test_output_file_is_checked_before_the_work(arguments: tuple[str, str], tmp_path: Path) -> None:
    """A folder that is missing ends the command in one line."""
    name, flag = arguments
    path = tmp_path / "missing" / "out.json"
    ran = subprocess.run(command(name, flag, str(path)), capture_output=True, text=True, env=environment())
    assert (ran.returncode, ran.stderr) == (2, f"rerank: cannot write {path}: No such file or directory\n")

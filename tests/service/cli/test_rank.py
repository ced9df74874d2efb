"""`rerank rank` with a running server."""

import asyncio
import csv
import json
import socket
import subprocess
from pathlib import Path

import pytest

from rerank_service.__main__ import build_parser, commands
from support.commands import rerank
from support.process import command, environment
from support.running import Served

_LONE = b"1 \xed\xa0\xbd"


async def _ranked(edges: Served, *arguments: str | bytes, cwd: Path) -> dict[int, str]:
    """Return the documents of the results by index."""
    words = [*command("rank", "--server", edges.address, "--json"), *arguments]
    done = await asyncio.to_thread(
        subprocess.run, words, capture_output=True, cwd=cwd, env=environment(), timeout=60, check=True
    )
    results = map(json.loads, done.stdout.decode().splitlines())
    return {result["index"]: result["document"] for result in results}


async def test_lone_surrogate_of_an_argument_becomes_the_replacement_character(edges: Served, tmp_path: Path) -> None:
    """In the query too."""
    assert await _ranked(edges, _LONE, _LONE, "😀", cwd=tmp_path) == {0: "1 \ufffd", 1: "😀"}


async def test_lone_surrogate_of_a_line_becomes_the_replacement_character(edges: Served, tmp_path: Path) -> None:
    """The byte order mark and the line ends are no text."""
    (tmp_path / "lines.txt").write_bytes(b"\xef\xbb\xbf" + _LONE + b"\r\n2\n")
    assert await _ranked(edges, "0", "--file", "lines.txt", cwd=tmp_path) == {0: "1 \ufffd", 1: "2"}


@pytest.mark.parametrize(
    ("text", "form"),
    [('{"text": "1"}\n{"text": "2"}\n', "jsonl"), ('[{"text": "1"},\n"2"]', "json"), ("1\n2\n", "")],
    ids=["jsonl", "json", "text"],
)
async def test_json_from_standard_input_names_its_format(edges: Served, text: str, form: str) -> None:
    """It is ranked as lines of text, unless --format is given: a line of text may look like JSON."""
    words = [*command("rank", "--server", edges.address, "0", "--file", "-", "--json")]
    for given in ([], ["--format", form or "txt"]):
        done = await asyncio.to_thread(
            subprocess.run, [*words, *given], input=text.encode(), capture_output=True, env=environment(), timeout=60
        )
        assert (f"give --format {form}\n" in done.stderr.decode()) == bool(form and not given)
    assert sorted(json.loads(line)["document"] for line in done.stdout.splitlines()) == ["1", "2"]


async def _printed(
    capsys: pytest.CaptureFixture[str], edges: Served, *arguments: str, server: str | None = None
) -> tuple[list[str], str]:
    """Run the command in this process. Return its lines on standard output, and its standard error."""
    parsed = build_parser(commands()).parse_args(["rank", *arguments, "--server", server or edges.address])
    assert await asyncio.to_thread(parsed.run, parsed) == 0
    captured = capsys.readouterr()
    return captured.out.split("\n")[:-1], captured.err


async def test_table_shows_ids_and_tsv_escapes_texts(
    edges: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A document with a tab, a line break and a backslash is one line."""
    path = tmp_path / "a.jsonl"
    text = "1\t2\n3\\n"
    path.write_text("".join(json.dumps({"text": each, "id": name}) + "\n" for name, each in (("x", text), ("y", "1"))))
    table, _ = await _printed(capsys, edges, "1", "--file", str(path))
    assert [word in "".join(table) for word in ("id", "x", "y")] == [True] * 3
    lines, _ = await _printed(capsys, edges, "1", "--file", str(path), "--output", "tsv")
    rows = {row["id"]: row for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)}
    assert [row["rank"] for row in rows.values()] == ["1", "2"]
    assert rows["x"]["document"] == "1\\t2\\n3\\\\n"
    assert (rows["y"]["index"], rows["y"]["windows"], rows["y"]["truncated"]) == ("1", "1", "false")
    assert (rows["y"]["start"], rows["y"]["end"]) == ("", "")


async def test_outputs_have_the_best_window(edges: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has it as an object, TSV in two columns, and the table shows its text."""
    long = " ".join(["1"] * 40)
    lines, _ = await _printed(capsys, edges, "0", long, "--json")
    result = json.loads(lines[0])
    window = result["best_window"]
    assert result["windows"] > 1
    assert result["truncated"] is False
    tsv, _ = await _printed(capsys, edges, "0", long, "--output", "tsv")
    assert tsv[1].split("\t")[4:7] == [str(result["windows"]), str(window["start"]), str(window["end"])]
    table, _ = await _printed(capsys, edges, "0", long)
    place = f"best of {result['windows']} windows, characters {window['start']} to {window['end']}"
    assert any(place in line for line in table)


async def test_many_documents_are_a_stream(edges: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More than a unary request may have. Standard error shows the progress, and the results are complete."""
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{number % 10}\n" for number in range(12_000)))
    lines, progress = await _printed(capsys, edges, "3", "--file", str(path), "--output", "tsv", "--top-n", "3")
    assert len(lines) == 1 + 3
    assert progress.splitlines()[-1] == "ranking: 12000 of 12000"


async def test_rest_server_ranks_files(edges: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Object documents are sent as their text, which every dialect has. Many documents show a status line."""
    path = tmp_path / "a.csv"
    path.write_text("title,text\n" + "1,2\n" * 300)
    columns = ("--document-column", "title", "--document-column", "text")
    url = str(edges.http.base_url)
    lines, progress = await _printed(
        capsys, edges, "1", "--file", str(path), *columns, "--json", "--top-n", "1", server=url
    )
    assert json.loads(lines[0])["document"] == {"title": "1", "text": "2"}
    assert "ranking 300 documents" in progress


async def test_several_files_are_ranked_together(
    edges: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In their order, below the documents of the arguments, each in the format of its name."""
    (tmp_path / "a.txt").write_text("1\n2\n")
    (tmp_path / "b.csv").write_text("id,text\nx,3\n")
    files = ["--file", str(tmp_path / "a.txt"), "--file", str(tmp_path / "b.csv")]
    lines, _ = await _printed(capsys, edges, "0", "4", *files, "--json")
    ranked = {result["index"]: (result["document"], result.get("id")) for result in map(json.loads, lines)}
    assert ranked == {0: ("4", None), 1: ("1", None), 2: ("2", None), 3: ("3", "x")}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("grpcs://{grpc}", "{grpc} has no TLS: give grpc://{grpc}"),
        ("https://{rest}", "the port has no TLS: give http://"),
        ("http://{grpc}", "this is no REST server: give the REST port, or HOST:PORT for gRPC"),
        ("{rest}", "{rest} speaks HTTP/1, so it is not a gRPC server: give the gRPC port, not the REST port"),
        (
            "{free}",
            "check that the server runs, and that this is its gRPC address. To start a server on this machine: ",
        ),
        ("http://{free}", "and that this is its REST address. To start a server on this machine: "),
    ],
)
async def test_a_wrong_address_names_the_next_step(edges: Served, tmp_path: Path, form: str, words: str) -> None:
    """In one line, without those of gRPC's own log."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nothing listens on it, and no other test can take it
        free = f"127.0.0.1:{silent.getsockname()[1]}"
        ports = {"grpc": edges.address, "rest": f"127.0.0.1:{edges.http.base_url.port}", "free": free}
        done = await asyncio.to_thread(rerank, "rank", "q", "a", "--server", form.format(**ports), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert words.format(**ports) in line


async def test_a_form_of_output_has_two_names(edges: Served, tmp_path: Path) -> None:
    """`--tsv` is short for `--output tsv`."""
    for form in ("json", "tsv"):
        short, long = [
            await asyncio.to_thread(rerank, "rank", "0", "1", "--server", edges.address, *words, cwd=tmp_path)
            for words in ([f"--{form}"], ["--output", form])
        ]
        assert short.stdout == long.stdout != ""

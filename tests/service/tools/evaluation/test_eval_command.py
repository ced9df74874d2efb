"""Flow of `rerank eval`: a model whose logits are known, in this process and behind a server."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode
from ir_measures import RR, Qrel, R, calc_aggregate, nDCG, read_trec_run
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rerank_service import __main__ as entry
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.cli.output_file import check_writable, write_text
from rerank_service.errors import OperatorError, SettingsInvalid
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.nothing_scored import NothingScored
from rerank_service.tools import offline_scoring
from rerank_service.tools.evaluation.ndcg_plot import draw_ndcg
from rerank_service.tools.offline_scoring import Refusal, Scores
from rerank_service.tools.server_address import server_address
from rerank_service.tools.server_scoring import server_scorer
from support.http import listening
from support.limited_server import SLOW, limited_server
from support.limits import batch_limits
from support.running import Running, Served, build_held, served
from support.small import BOOM

RNG = np.random.default_rng(3)


def _collection(path: Path, queries: int = 6, documents: int = 12) -> list[Qrel]:
    """Write a collection. Each document is a number, which is its logit; some are equal. Return the judgements."""
    qrels = []
    with path.open("w") as file:
        for query in range(queries):
            numbers, grades = RNG.integers(0, 20, documents).tolist(), RNG.integers(-1, 4, documents).tolist()
            candidates = [
                {"id": f"d{at}", "text": str(number), "grade": grade, "bm25": 0.5}
                for at, (number, grade) in enumerate(zip(numbers, grades, strict=True))
            ]
            judged = [*grades, 3]
            qrels += [Qrel(str(query), f"d{at}", max(0, grade)) for at, grade in enumerate(judged)]
            line = {"qid": str(query), "query": "0", "documents": candidates, "grades": judged}
            file.write(json.dumps(line) + "\n")
    return qrels


def _read(name: str) -> Any:
    return json.loads(Path(name).read_text())


@pytest.fixture
def rerank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run the command in this process, in a temporary folder."""
    monkeypatch.setenv("RERANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: entry._main([str(argument) for argument in arguments])


def test_measures_equal_those_of_ir_measures(
    rerank: Callable[..., int], small_model: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table and the JSON equal ir-measures on the written run, ties included."""
    qrels = _collection(tmp_path / "some.jsonl")
    arguments = ("some.jsonl", "--model", small_model.folder, "--json", "some.json", "--run", "some.run")
    assert rerank("eval", *arguments) == 0
    report = _read("some.json")
    [collection] = report["collections"]
    expected = calc_aggregate([nDCG @ 10, RR @ 10, R @ 10], qrels, list(read_trec_run("some.run")))
    for name, measure in (("ndcg@10", nDCG @ 10), ("mrr@10", RR @ 10), ("recall@10", R @ 10)):
        assert collection["after"][name] == pytest.approx(expected[measure], abs=1e-6)
        assert report["mean"]["after"] == collection["after"]
    shown = capsys.readouterr()
    before, after = collection["before"]["ndcg@10"], collection["after"]["ndcg@10"]
    assert f"{before:.4f}→{after:.4f}" in shown.out
    assert "72 pairs in" in shown.out
    assert shown.err.splitlines()[-1] == "some: 72 of 72"


def test_run_file_has_the_order_of_the_server(rerank: Callable[..., int], small_model: Bundle, tmp_path: Path) -> None:
    """Ties keep their order and get falling scores; a query that is too long keeps the order of its candidates."""
    documents = [{"id": name, "text": text} for name, text in (("a", "5"), ("b", "7"), ("c", "5"), ("d", "5"))]
    lines = [{"qid": qid, "query": query, "documents": documents} for qid, query in (("1", "0"), ("2", "0 " * 60_000))]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert rerank("eval", "some.jsonl", "--model", small_model.folder, "--run", "some.run") == 0
    written = [line.split() for line in (tmp_path / "some.run").read_text().splitlines()]
    assert [(line[0], line[2], line[3]) for line in written] == [
        *(("1", name, str(rank)) for rank, name in enumerate("bacd", 1)),
        *(("2", name, str(rank)) for rank, name in enumerate("abcd", 1)),
    ]
    scores = [np.float32(line[4]) for line in written]
    assert scores[:2] == [7, 5]
    assert (np.diff(scores[:4]) < 0).all()


def test_several_collections_have_a_mean(
    rerank: Callable[..., int], small_model: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each collection has the same weight, whatever its number of queries. Unscored queries are reported."""
    _collection(tmp_path / "one.jsonl", queries=2)
    _collection(tmp_path / "two.jsonl", queries=5)
    with (tmp_path / "two.jsonl").open("a") as file:
        file.write(
            json.dumps({"qid": "x", "query": "0 " * 60_000, "documents": [{"id": "a", "text": "1", "grade": 1}]})
        )
    arguments = (
        "--model",
        small_model.folder,
        "--gain",
        "exp2",
        "--relevant-from",
        2,
        "--recall-at",
        3,
    )
    assert rerank("eval", "one.jsonl", "two.jsonl", *arguments, "--json", "all.json", "--png", "all.png") == 0
    report = _read("all.json")
    assert Path("all.png").read_bytes().startswith(b"\x89PNG")
    for name in ("ndcg@10", "mrr@10", "recall@3"):
        both = [collection["after"][name] for collection in report["collections"]]
        assert report["mean"]["after"][name] == pytest.approx(sum(both) / 2)
    assert report["measures"] == {"cutoff": 10, "gain": "exp2", "relevant_from": 2, "recall_at": 3}
    assert report["collections"][1]["queries_refused"] == 1
    shown = capsys.readouterr().out
    assert "mean of 2" in shown
    assert "two: left in the order of the candidates: 1 query refused (two.jsonl:6: query has" in shown


async def test_long_documents_are_evaluated_as_a_server_scores_them(
    rerank: Callable[..., int], small_model: Bundle, edges: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Documents are scored in windows, or cut with `--too-long cut`. The output gives the counts."""
    documents = [
        {"id": "short", "text": "30", "grade": 0},
        {"id": "long", "text": " ".join(["1"] * 28 + ["2"] * 28), "grade": 1},
    ]
    (tmp_path / "some.jsonl").write_text(json.dumps({"qid": "1", "query": "0", "documents": documents}))
    for source in (
        ("--model", small_model.folder),
        ("--server", edges.address),
        ("--server", str(edges.http.base_url)),
    ):
        for mode, mrr, counts in (("windows", 1.0, (4, 1, 0)), ("cut", 0.5, (2, 0, 1))):
            arguments = ("some.jsonl", *source, "--too-long", mode, "--json", "some.json")
            assert await asyncio.to_thread(rerank, "eval", *arguments) == 0
            (collection,) = _read("some.json")["collections"]
            assert collection["after"]["mrr@10"] == mrr
            names = ("windows", "documents_in_windows", "documents_cut")
            assert tuple(collection[name] for name in names) == counts
    shown = capsys.readouterr().out
    assert "some: scored in windows: 1 document, 4 pairs in all" in shown
    assert "some: cut: 1 document" in shown


async def test_cut_queries_are_counted(
    rerank: Callable[..., int], small_model: Bundle, edges: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are scored as the server scores them."""
    documents = [{"id": "a", "text": "30", "grade": 0}, {"id": "b", "text": "40", "grade": 1}]
    lines = [{"qid": qid, "query": query, "documents": documents} for qid, query in (("1", "0"), ("2", "0 " * 40))]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for source in (
        ("--model", small_model.folder),
        ("--server", edges.address),
        ("--server", str(edges.http.base_url)),
    ):
        assert await asyncio.to_thread(rerank, "eval", "some.jsonl", *source, "--json", "some.json") == 0
        (collection,) = _read("some.json")["collections"]
        assert (collection["queries_cut"], collection["after"]["mrr@10"]) == (1, 1.0)
    assert "some: cut: 1 query" in capsys.readouterr().out


async def test_a_server_is_evaluated(
    rerank: Callable[..., int], small_model: Bundle, edges: Served, tmp_path: Path
) -> None:
    """The measures equal those of the model in this process. A refused query does not end the evaluation."""
    _collection(tmp_path / "some.jsonl")
    with (tmp_path / "some.jsonl").open("a") as file:
        file.write(
            json.dumps({"qid": "x", "query": "0 " * 60_000, "documents": [{"id": "a", "text": "1", "grade": 1}]})
        )
    local = ("eval", "some.jsonl", "--model", small_model.folder, "--json", "local.json")
    assert await asyncio.to_thread(rerank, *local) == 0
    for address in (edges.address, str(edges.http.base_url)):
        remote = ("eval", "some.jsonl", "--server", address, "--json", "remote.json")
        assert await asyncio.to_thread(rerank, *remote) == 0
        first, second = map(_read, ("local.json", "remote.json"))
        assert first["mean"] == second["mean"]
        assert second["collections"][0]["queries_refused"] == 1
        assert second["engine"].endswith(f"at {address}")


async def test_variable_selects_the_evaluated_server(
    rerank: Callable[..., int], small_model: Bundle, edges: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RERANK_SERVER stands for --server. The flag --model overrides it."""
    _collection(tmp_path / "some.jsonl")
    monkeypatch.setenv("RERANK_SERVER", edges.address)
    for flags, remote in (((), True), (("--model", small_model.folder), False)):
        assert await asyncio.to_thread(rerank, "eval", "some.jsonl", "--json", "some.json", *flags) == 0
        assert _read("some.json")["engine"].endswith(f"at {edges.address}") is remote


@pytest.mark.parametrize("command", [("eval", "some.jsonl"), ("tune",)])
def test_wrong_setting_is_reported_in_one_line(
    rerank: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    """The message has the variable, its value and the allowed values."""
    _collection(tmp_path / "some.jsonl")
    monkeypatch.setenv("RERANK_GRPC_PORT", "abc")
    assert rerank(*command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == "rerank: --grpc-port or RERANK_GRPC_PORT is 'abc': give a whole number from 0 to 65535"


@pytest.mark.parametrize(("qid", "name"), [("q 1", "a"), ("1", "Winter jacket"), ("1", "a\nb"), ("1", "")])
def test_run_file_cannot_have_ids_with_white_space(
    rerank: Callable[..., int],
    small_model: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    qid: str,
    name: str,
) -> None:
    """Its columns are separated by white space. The error comes before the work."""
    line = {"qid": qid, "query": "0", "documents": [{"id": name, "text": "1", "grade": 1}]}
    (tmp_path / "some.jsonl").write_text(json.dumps(line) + "\n")
    assert rerank("eval", "some.jsonl", "--model", small_model.folder, "--run", "some.run") == 1
    assert "white space, which a TREC run cannot have" in capsys.readouterr().err
    assert rerank("eval", "some.jsonl", "--model", small_model.folder) == 0


async def test_a_key_without_a_visible_model_is_an_error(
    rerank: Callable[..., int],
    core: Running,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its model has been removed from the server, for example."""
    _collection(tmp_path / "some.jsonl")
    monkeypatch.setenv("RERANK_API_KEY", "sesame")
    keys = Keys(known=[KnownKey(digest("sesame"), Caller("old", models=frozenset({"gone"})))])
    async with served(core, keys=keys) as edges:
        assert await asyncio.to_thread(rerank, "eval", "some.jsonl", "--server", edges.address) == 2
    assert "shows no model to this API key" in capsys.readouterr().err


async def test_unscorable_queries_do_not_end_the_evaluation(
    rerank: Callable[..., int], small_model: Bundle, edges: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A query without candidates counts with 0. Without text, or if refused, it keeps the order of its candidates. So
    does one on which the model fails."""
    good = {"id": "a", "text": "1", "grade": 1}
    lines = [
        {"qid": "1", "query": "0", "documents": [], "grades": [1]},
        {"qid": "2", "query": " ", "documents": [good]},
        {"qid": "3", "query": "0" * 100_001, "documents": [good]},
        {"qid": "4", "query": "0", "documents": [{"id": "b", "text": ""}]},
        {"qid": "5", "query": "0", "documents": [good]},
        {"qid": "6", "query": "0", "documents": [{**good, "text": BOOM}]},
    ]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for source in (("--model", small_model.folder), ("--server", edges.address)):
        assert await asyncio.to_thread(rerank, "eval", "some.jsonl", *source, "--json", "some.json") == 0
        (collection,) = _read("some.json")["collections"]
        ndcg = [query["after"]["ndcg@10"] for query in collection["by_query"].values()]
        assert ndcg == [0, 1, 1, 0, 1, 1]
        assert collection["after"]["ndcg@10"] == pytest.approx(4 / 6)
        counts = {name: collection[f"queries_{name}"] for name in ("cut", "refused", "unjudged")}
        assert counts == {"cut": 0, "refused": 2, "unjudged": 0}
        for name in ("queries_without_candidates", "queries_without_text", "queries_without_relevant"):
            assert collection[name] == 1
        assert collection["candidates_without_text"] == 1
        shown = capsys.readouterr().out
        assert "some: counted with 0: 1 query without candidates" in shown
        assert "some: left in the order of the candidates: 1 query without text" in shown
        assert "2 queries refused (some.jsonl:3: query has 100,001 characters" in shown


async def test_a_busy_server_does_not_end_the_evaluation() -> None:
    """The query is sent again."""
    rejections = iter([429, 503])

    async def rank(_: Request) -> Response:
        if status := next(rejections, None):
            return JSONResponse({"message": "busy"}, status)
        return JSONResponse({"results": [{"index": 0, "relevance_score": 2.5}]})

    async def models(_: Request) -> Response:
        return JSONResponse({"data": [{"id": "small", "provider": "CPUExecutionProvider"}]})

    async with (
        listening(Route("/v1/models", models), Route("/v2/rerank", rank, methods=["POST"])) as url,
        server_scorer(server_address(url)) as scorer,
    ):
        scores = await scorer.score("0", ["1"])
    assert isinstance(scores, Scores)
    assert scores.logits.tolist() == [2.5]


async def test_documents_that_miss_the_deadline_together_are_scored_in_parts() -> None:
    """A score does not depend on the other documents. A query with a document that misses it alone is refused."""
    with limited_server(max_documents=2) as server:
        async with server_scorer(server_address(server.address)) as scorer:
            scores = await scorer.score("0", list("12345"))
            refusal = await scorer.score("0", ["1", "2", SLOW])
            assert (scorer.model, scorer.engine) == ("docs", f"CPUExecutionProvider fp32, at {server.address}")
    assert isinstance(scores, Scores)
    assert scores.logits.tolist() == [1, 2, 3, 4, 5]
    assert scores.windows.tolist() == [1] * 5
    assert refusal == Refusal("documents[2]: the request would miss its deadline")


@pytest.mark.parametrize("status", [StatusCode.DEADLINE_EXCEEDED, StatusCode.INTERNAL])
async def test_a_server_that_scores_nothing_ends_the_evaluation(
    monkeypatch: pytest.MonkeyPatch, status: StatusCode
) -> None:
    """Its queries would otherwise be listed as refused, and the figures would be those of the candidates."""
    monkeypatch.setattr("rerank_service.tools.server_calls._MAX_PAUSE_SECONDS", 0)
    with limited_server() as server:
        async with server_scorer(server_address(server.address)) as scorer:
            server.broken = status
            with pytest.raises(NothingScored, match="either: the server is broken"):
                await scorer.score("0", ["1", "2"])


def test_a_model_that_scores_nothing_ends_the_evaluation(
    rerank: Callable[..., int],
    small_model: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this process, too. A model that fails on some documents only does not end it (above)."""
    _collection(tmp_path / "some.jsonl")
    model, held = build_held(small_model, limits=batch_limits(), lanes=1)
    held.fail()
    monkeypatch.setattr(offline_scoring, "load_selected", lambda _: model)
    assert rerank("eval", "some.jsonl", "--model", small_model.folder, "--json", "some.json") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "rerank: model 'small' does not score a short pair either: the model failed"
    assert not (tmp_path / "some.json").exists()


async def test_an_evaluation_never_has_scores_of_two_versions() -> None:
    """A replica with another version answers the second query. The measures would be those of no model."""
    with limited_server() as server:
        server.for_replica = {3}  # the first request loads the model
        async with server_scorer(server_address(server.address)) as scorer:
            assert isinstance(await scorer.score("0", ["1"]), Scores)
            with pytest.raises(OperatorError, match="has changed since the first query: it was docs v1, now docs v2"):
                await scorer.score("0", ["1"])


async def test_a_name_that_the_server_does_not_know_is_an_error() -> None:
    """Before the first query. A name that it does not list may be known."""
    with limited_server() as server:
        async with server_scorer(server_address(server.address), model="default") as scorer:
            assert scorer.model == "docs"
        with pytest.raises(SettingsInvalid, match="does not serve other: --served-model is one of docs"):
            async with server_scorer(server_address(server.address), model="other"):
                pass


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no collection: give"),
        (("absent.jsonl",), "absent.jsonl"),
        (("some.jsonl", "some.jsonl", "--run", "x"), "--run needs exactly one collection, not 2"),
        (("some.jsonl", "--candidates", "x"), "--candidates needs exactly one BEIR folder"),
        (("--qrels", "x", "--corpus", "y"), "--candidates, --topics missing"),
        (("some.jsonl", "--candidates", "x", "--qrels", "x", "--corpus", "y", "--topics", "z"), "remove some.jsonl"),
        (("some.jsonl", "--server", "localhost:1", "--model", "x"), "--server and --model are mutually exclusive"),
        ((".",), "queries.jsonl is missing"),
        (("empty.jsonl",), "has no queries"),
        (("some.jsonl", "--server", "127.0.0.1:1", "--api-key", "\udcff"), "an argument is not UTF-8 text"),
    ],
)
def test_wrong_input_is_reported_in_one_line(
    rerank: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    """The error comes before a model is loaded. The exit status is 2, or 1 for a wrong file."""
    _collection(tmp_path / "some.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    assert rerank("eval", *arguments) == (1 if arguments in (("absent.jsonl",), (".",), ("empty.jsonl",)) else 2)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("rerank: ")
    assert words in line


def test_pipes_are_output_files() -> None:
    """As in `--json /dev/stdout | jq` and `--json >(gzip > a.gz)`."""
    reader, writer = os.pipe()
    try:
        check_writable(Path(f"/dev/fd/{writer}"))
    finally:
        os.close(reader)
        os.close(writer)


def test_a_named_pipe_keeps_its_reader(tmp_path: Path) -> None:
    """It would read the end of the file if the pipe were opened twice."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)  # an open would wait for a reader
    with ThreadPoolExecutor(1) as threads:
        text = threads.submit(pipe.read_text)
        write_text(pipe, "figures")
        assert text.result() == "figures"


def test_two_results_need_two_files(tmp_path: Path) -> None:
    """The second would replace the first, also by another name of the file."""
    (tmp_path / "link").symlink_to("figures")
    with pytest.raises(SettingsInvalid, match="link is given for several results: give each a file of its own"):
        check_writable(tmp_path / "link", None, tmp_path / "figures")
    check_writable(Path(os.devnull), Path(os.devnull))


def test_names_in_a_plot_are_no_formulas(rerank: Callable[..., int], small_model: Bundle, tmp_path: Path) -> None:
    """matplotlib reads text between dollar signs as a formula, and fails on a wrong one."""
    _collection(tmp_path / "$^$.jsonl")
    assert rerank("eval", "$^$.jsonl", "--model", small_model.folder, "--png", "some.png") == 0
    draw_ndcg((), "model $^$", tmp_path / "other.png")
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("some.png", "other.png"))


@pytest.mark.parametrize("flag", ["--json", "--png", "--run"])
def test_nothing_is_written_into_a_bundle(
    rerank: Callable[..., int], small_model: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    """Neither into one that is evaluated, nor into another one. A server would reject it."""
    bundle = Path(shutil.copytree(small_model.folder, tmp_path / "small"))
    _collection(tmp_path / "some.jsonl")
    for model in (["--model", bundle], []):
        assert rerank("eval", "some.jsonl", flag, bundle / "figures", *model) == 2
        assert f"is inside the model folder {bundle.resolve()}" in capsys.readouterr().err
    assert open_bundle(bundle).digest == small_model.digest


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_full_disk_loses_only_the_files_on_it(
    rerank: Callable[..., int], small_model: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other files are written, also those that come later."""
    _collection(tmp_path / "some.jsonl")
    arguments = ("--model", small_model.folder, "--json", "/dev/full", "--run", "some.run", "--png", "some.png")
    assert rerank("eval", "some.jsonl", *arguments) == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1] == "rerank: /dev/full: No space left on device"
    assert "72 pairs in" in shown.out
    assert len((tmp_path / "some.run").read_text().splitlines()) == 72
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")


def test_failed_command_leaves_links_of_the_user(
    rerank: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link may be made before its target. A loop of links cannot be written."""
    (tmp_path / "figures.json").symlink_to("results.json")
    (tmp_path / "loop.json").symlink_to("loop.json")
    assert rerank("eval", "absent.jsonl", "--json", "figures.json") == 1
    assert (tmp_path / "figures.json").is_symlink()
    assert not (tmp_path / "results.json").exists()
    capsys.readouterr()
    assert rerank("eval", "absent.jsonl", "--json", "loop.json") == 2
    assert "cannot write loop.json: Too many levels of symbolic links" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gain", "grade", "words"),
    [
        ("exp2", 1025, "some.jsonl:1: a grade is 1025: --gain exp2 allows grades up to 1000"),
        ("grade", 1e301, "some.jsonl:1: a grade is 1e+301: --gain grade allows grades up to 1e+300"),
    ],
)
def test_grades_without_a_finite_measure_are_rejected(
    rerank: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], gain: str, grade: float, words: str
) -> None:
    """Before a model is loaded, not after hours of scoring."""
    documents = [{"id": "a", "text": "1", "grade": grade}]
    (tmp_path / "some.jsonl").write_text(json.dumps({"qid": "1", "query": "0", "documents": documents}))
    assert rerank("eval", "some.jsonl", "--gain", gain, "--model", "absent") == 2
    assert capsys.readouterr().err == f"rerank: {words}\n"


def test_failed_command_leaves_no_empty_file(rerank: Callable[..., int], tmp_path: Path) -> None:
    """It would look like a result. A file that was there stays."""
    (tmp_path / "before.json").write_text("{}")
    for name in ("figures.json", "before.json"):
        assert rerank("eval", "absent.jsonl", "--json", name, "--run", "out.trec") == 1
    assert [path.name for path in tmp_path.glob("*.*")] == ["before.json"]
    assert _read("before.json") == {}

"""The frame of the campaign: inputs are repeatable, an interrupted part continues, and faults are found."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from torture import stranger_costs
from torture.__main__ import main
from torture.blocks import ended_blocks
from torture.grpc_fuzz.case import case_of as grpc_case_of
from torture.grpc_fuzz.frames import random_frames
from torture.grpc_fuzz.part import ADMIN
from torture.http_fuzz.case import HttpCase
from torture.http_fuzz.case import case_of as http_case_of
from torture.http_fuzz.oracle import judge
from torture.http_fuzz.paths import all_paths
from torture.http_fuzz.protocol import random_bytes
from torture.http_fuzz.request import random_request
from torture.http_fuzz.responses import ResponseReader
from torture.load.soak import SOAK
from torture.part import Failure, Outcome, Part
from torture.part_run import PartRun, RunOptions
from torture.progress import Progress, ProgressFiles
from torture.resources import Growth, Sample, ServerResources, growth
from torture.summary import as_figures, as_table, write_page
from torture.wire import Received, Step

_COUNT = 150


@pytest.mark.parametrize("make", [random_request, random_bytes])
def test_http_inputs_depend_on_their_number_only(make: Callable[[Random], HttpCase]) -> None:
    """And survive a file."""
    for number in range(_COUNT):
        case = make(Random(number))
        assert case == make(Random(number))
        assert http_case_of(json.loads(json.dumps(case.as_json()))) == case


def test_frames_depend_on_their_number_only() -> None:
    """And survive a file."""
    for number in range(_COUNT):
        case = random_frames(Random(number))
        assert grpc_case_of(json.loads(json.dumps(case.as_json()))) == case


def test_all_paths_of_the_server_are_tried() -> None:
    """Paths that rank, look-ups, pages and metrics."""
    paths = {path.path for path in all_paths()}
    assert paths >= {"/v1/rerank", "/model/{model:path}/invoke", "/v1/models", "/", "/metrics", "/health/ready"}


_BODY = b'{"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": 0.9}]}'


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", "any", "the status is 500"),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad", "any", "has the form of no dialect"),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "plain", "a valid request got 400"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY), "any", "has the form of no dialect"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "any", "the response is not complete"),
        (b"no HTTP\r\n\r\n", "any", "the response is no valid HTTP"),
        (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "any", "more requests than were sent"),
        (b"", "any", "answered 0 of 1 requests"),
    ],
)
def test_wrong_responses_are_found(response: bytes, kind: str, words: str) -> None:
    """The request must be answered."""
    case = HttpCase(title="", steps=(Step(b"x"),), requests=(("POST", "/v1/rerank"),), kind=kind)  # type: ignore[arg-type]
    reader = ResponseReader(["POST"], until_closed=False)
    reader.feed(response)
    assert words in judge(case, Received(closed=True, unsent=False), reader).problem


def test_growth_is_that_of_the_second_half() -> None:
    """The first half is warm-up."""
    steady = [Sample(float(at), 500.0 if at > 20 else 10.0 * at, 10, 20) for at in range(200)]
    assert growth(steady).problems() == []
    leaking = [Sample(float(at), 100.0 + 2 * at, 10 + at // 10, 20 + at) for at in range(200)]
    assert [problem.split()[0] for problem in growth(leaking).problems()] == ["memory", "threads", "descriptors"]
    assert growth(leaking[:5]).problems() == []
    noise = Random(1)
    noisy = [Sample(float(at), 500.0, 10, 1200 - noise.choice((0, 300))) for at in range(60)]
    assert all(growth(noisy[:count]).problems() == [] for count in range(8, 60))


def test_growth_in_the_hour_of_soak_is_found() -> None:
    """One sample a minute is enough. The moment when all connections are closed hides no leak before it."""
    resources = ServerResources(Sample(0.0, 300.0, 40, 20), SOAK.memory_samples)
    for minute in range(SOAK.inputs):
        resources.add(Sample(minute + 1.0, 300.0 + 10 * minute, 40, 1200 + minute))
    assert [problem.split()[0] for problem in resources.growth().problems()] == ["memory", "descriptors"]
    assert resources.left_open(Sample(SOAK.inputs, 300.0, 40, 22)) == []
    (problem,) = resources.left_open(Sample(SOAK.inputs, 300.0, 40, 80))
    assert problem.startswith("60 descriptors more than before the part are open")


def test_table_says_which_growth_is_not_judged() -> None:
    """Too few blocks have no verdict."""
    part = Part(name="numbers", title="numbers", run=_nothing, inputs=10, slice_inputs=5)
    for samples, shown in ((60, " (memory not judged: 60 blocks)"), (100, "")):
        grown = Growth(samples, 1.0, 2.0, 3.0)
        progress = Progress(part="numbers", seed=3, code="", tried=10, growth=[grown])
        assert f"| +1 MiB, +2 threads, +3 descriptors{shown} |" in as_table([(part, progress)])


async def test_interrupted_part_continues(tmp_path: Path) -> None:
    """From the last whole block. A failure has the command that repeats it."""
    tried: list[int] = []

    async def attempt(number: int) -> Outcome:
        tried.append(number)
        return Outcome("odd" if number % 2 else "even", "it is 7" if number == 7 else "", {"number": number})

    async def run(part_run: PartRun) -> None:
        await part_run.each(attempt)

    part = Part(name="numbers", title="numbers", run=run, inputs=10, slice_inputs=5)
    said: list[str] = []

    def started(inputs: int) -> PartRun:
        files = ProgressFiles(tmp_path)
        options = RunOptions(seed=3, model=None, inputs=inputs, ends=time.monotonic() + math.inf, block=4)
        return PartRun(part, options, files, files.load(part, 3), said.append)

    await run(started(4))
    assert tried == [0, 1, 2, 3]
    second = started(10)
    await run(second)
    assert tried == list(range(10))
    assert second.progress.outcomes == {"even": 5, "odd": 5}
    [failure] = second.progress.failures
    assert (failure.problem, failure.command) == ("it is 7", "make torture ONLY=numbers SEED=3 INPUT=7")
    [kept] = (tmp_path / "failures").iterdir()
    assert json.loads(kept.read_text())["case"] == {"number": 7}
    assert "| `numbers`: numbers | 10 | even: 5; odd: 5 |" in as_table([(part, second.progress)])


async def test_inputs_of_earlier_versions_count_and_their_failures_are_tried_again(tmp_path: Path) -> None:
    """A part that measures one version starts again."""
    part = Part(name="numbers", title="numbers", run=_nothing, inputs=10, slice_inputs=5)
    files = ProgressFiles(tmp_path)
    failures = [Failure("it is 7", "7", "make torture", {"number": 7})]
    files.store(Progress(part="numbers", seed=3, code="earlier", tried=8, failures=failures))
    progress = files.load(part, 3)
    assert (progress.tried, progress.tried_before, progress.failures) == (8, 8, [])
    assert progress.earlier_failures == failures
    assert progress.code == files.code
    progress.tried = 10
    assert "| 10, 2 of them by the last version |" in as_table([(part, progress)])
    assert files.load(replace(part, one_version=True), 3).tried == 0


def test_kept_progress_continues_on_another_machine(tmp_path: Path) -> None:
    """Whichever has more inputs counts: the kept progress, or that of the clone. All kept parts are in the table."""
    part, other = (Part(name=name, title=name, run=_nothing, inputs=10, slice_inputs=5) for name in ("a", "b"))
    first, second = (ProgressFiles(tmp_path / name, tmp_path / "kept") for name in ("first", "second"))
    first.keep(Progress(part="a", seed=3, code=first.code, tried=6))
    first.keep(Progress(part="b", seed=3, code="earlier", tried=4))
    assert (second.load(part, 3).tried, second.load(part, 4).tried) == (6, 0)
    second.store(Progress(part="a", seed=3, code=second.code, tried=8))
    assert (second.load(part, 3).tried, first.load(part, 3).tried) == (8, 6)
    assert second.load(replace(other, one_version=True), 3).tried == 0
    assert [(kept.part, kept.tried) for _, kept in second.kept([part, other], 3)] == [("a", 6), ("b", 4)]


async def test_slow_input_holds_up_no_other_block(tmp_path: Path) -> None:
    """It waits for an input of the third block, which starts while the first one still runs."""
    later = asyncio.Event()

    async def attempt(number: int) -> Outcome:
        if number == 0:
            await later.wait()
        if number == 9:
            later.set()
        return Outcome("tried")

    files = ProgressFiles(tmp_path)
    part = Part(name="numbers", title="numbers", run=_nothing, inputs=30, slice_inputs=4)
    options = RunOptions(seed=3, model=None, inputs=30, ends=math.inf, block=4)
    run = PartRun(part, options, files, files.load(part, 3), lambda _: None)
    await run.each(attempt, concurrency=2)
    assert run.progress.tried == 30


async def test_a_fault_after_a_block_may_be_of_each_input_that_was_started() -> None:
    """Four blocks run at a time; with one_by_one, only that block can be the cause."""

    async def tried(numbers: range) -> list[Outcome]:
        return [Outcome("tried") for _ in numbers]

    async def suspects(*, one_by_one: bool) -> list[str]:
        blocks = iter([range(start, start + 4) for start in range(0, 24, 4)])
        return [block.suspects async for block in ended_blocks(blocks, tried, one_by_one=one_by_one)]

    assert await suspects(one_by_one=False) == ["0-15", "4-19", "8-23", "12-23", "16-23", "20-23"]
    assert await suspects(one_by_one=True) == ["0-3", "4-7", "8-11", "12-15", "16-19", "20-23"]


def test_figures_have_a_row_for_each_case(tmp_path: Path) -> None:
    """So that the levels of part load compare; figures without a case come first."""
    part = Part(name="numbers", title="numbers", run=_nothing, inputs=10, slice_inputs=4)
    facts = {"capacity": 1234.5, "10 %: p99, ms": 20.0, "10 %: rejected": 0.0, "300 %: p99, ms": 5000.1}
    files = ProgressFiles(tmp_path)
    progress = files.load(part, 3)
    assert as_figures([(part, progress)]) == ""
    progress.facts = facts
    assert [line for line in as_figures([(part, progress)]).splitlines() if "---" not in line] == [
        *("| `numbers` |  |", "| capacity | 1,234.5 |", ""),
        *("| `numbers` | p99, ms | rejected |", "| 10 % | 20 | 0 |", "| 300 % | 5,000.1 |  |"),
    ]


async def _nothing(_: PartRun) -> None:
    """Try no input."""


def test_page_keeps_what_is_around_the_table(tmp_path: Path) -> None:
    """Only the block with the name is replaced."""
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- torture: parts -->\nold\n<!-- end -->\nb\n<!-- torture: other -->\nc\n<!-- end -->\n")
    write_page(page, "parts", "new")
    assert page.read_text().splitlines() == [
        *("a", "<!-- torture: parts -->", "new", "<!-- end -->"),
        *("b", "<!-- torture: other -->", "c", "<!-- end -->"),
    ]


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--input", "3"]])
def test_wrong_arguments_are_rejected(arguments: list[str]) -> None:
    """With status 2, before a server is started."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_attacks_without_the_text_are_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table would look like the result of a measurement."""
    with pytest.raises(SystemExit) as caught:
        stranger_costs.main(["--only", "idle hands"])
    assert caught.value.code == 2
    assert "no title contains it: REST: idle connection; " in capsys.readouterr().err


def test_part_of_the_admin_port_starts_it() -> None:
    """Its inputs go to that port."""
    assert "--admin-port" in ADMIN.flags

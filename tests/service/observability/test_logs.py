"""The log: its format, and a log that cannot be written harms no request."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rerank_service.models.bundle import Bundle
from rerank_service.observability.tracebacks import BY_CALLER
from support.process import started

LOG_TWICE = """
import logging, structlog
from rerank_service.observability.logs import configure_logging
configure_logging("json", "info")
structlog.get_logger().info("ours")
logging.getLogger("theirs").warning("\\ud800 %s", "theirs")
print("done")
"""


CAPTURED = """
import io, sys
sys.stderr = captured = io.StringIO()
exec(sys.argv[1])
sys.stdout.write(captured.getvalue())
"""


@pytest.fixture
def broken_pipe() -> Iterator[int]:
    """Return the write end of a pipe without a reader."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def _run(code: str, stderr: int) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr or ""


def test_captured_stderr_is_used() -> None:
    """Notebooks and tests replace it by an object without a descriptor."""
    done = subprocess.run([sys.executable, "-c", CAPTURED, LOG_TWICE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()
    assert first == "done"
    assert [json.loads(line)["event"] for line in (second, third)] == ["ours", "\ud800 theirs"]


METADATA = """
import logging
from grpc._cython import cygrpc
from rerank_service.api.grpc.library_log import hide_lines_caused_by_clients
from rerank_service.observability.logs import configure_logging
configure_logging("json", "info")
hide_lines_caused_by_clients()
logger = logging.getLogger(cygrpc.__name__)
logger.exception("Invalid encoding on %s", b"sesame\\xff")
logger.exception("ExecuteBatchError raised in core by servicer method [/a.B/C]")
logger.error("another problem")
logger.exception(ValueError("a problem without a text"))
"""


def test_log_has_no_lines_that_clients_cause_at_will() -> None:
    """grpc writes the value of a header that is not UTF-8, such as a mistyped key, and a traceback for each call whose
    client is gone."""
    status, _, log = _run(METADATA, subprocess.PIPE)
    assert (status, [json.loads(line)["event"] for line in log.splitlines()]) == (
        0,
        ["another problem", "a problem without a text"],
    )


def test_own_and_library_lines_are_written_as_json() -> None:
    """Each line once, in order."""
    status, out, err = _run(LOG_TWICE, subprocess.PIPE)
    assert (status, out) == (0, "done\n")
    assert [line[:16] for line in err.splitlines()] == ['{"event": "ours"', '{"event": "\\ud80']


FAILING = """
import logging, structlog, sys
from rerank_service.observability.logs import configure_logging
from rerank_service.observability.tracebacks import BY_CALLER
configure_logging(sys.argv[1], "info", texts=len(sys.argv) > 2)
def handle(document):
    try:
        {}[document]
    except KeyError as error:
        raise ValueError("a bug in " + "".join(("Jane ", "Doe"))) from error
def handle_all(documents):
    failed = []
    for document in documents:
        try:
            handle(document)
        except ValueError as error:
            error.add_note(document)
            failed.append(error)
    raise ExceptionGroup("all of " + document, failed)
try:
    handle_all(["".join(("Jane ", "Doe"))])
except ExceptionGroup:
    for log in (structlog.get_logger().bind(**{BY_CALLER: True}), logging.getLogger("theirs")):
        log.exception("failed")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_show_no_text_of_a_caller(form: str) -> None:
    """Neither local variables nor messages, notes, causes and groups: they may quote documents. With `--log-texts`, the
    messages are shown."""
    hidden, shown = (
        subprocess.run([sys.executable, "-c", FAILING, form, *texts], capture_output=True, text=True, check=True).stderr
        for texts in ((), ("texts",))
    )
    assert "Jane" not in hidden
    assert BY_CALLER not in hidden
    assert hidden.count("message hidden, see --log-texts") == 6
    for text in ("ExceptionGroup", "ValueError", "KeyError", "handle_all"):
        assert hidden.count(text) >= 2
    assert shown.count("a bug in Jane Doe") == shown.count("all of Jane Doe") == 2
    if form == "json":
        assert [json.loads(line)["event"] for line in hidden.splitlines()] == ["failed", "failed"]


def test_own_errors_have_their_messages() -> None:
    """A failed load of a model: its message names the fault, and no caller has sent it."""
    code = """
import structlog
from rerank_service.observability.logs import configure_logging
configure_logging("json", "info")
structlog.get_logger().error("load failed", exc_info=ValueError("a bug"))
structlog.get_logger().error("nothing failed", exc_info=True)
"""
    lines = [json.loads(line) for line in _run(code, subprocess.PIPE)[2].splitlines()]
    assert lines[0]["exception"][0]["exc_value"] == "a bug"
    assert "exception" not in lines[1]


CONTROLS = "".join(map(chr, (*range(32), *range(127, 160), 0x2028, 0x202E, 0xFEFF, 0xD800)))


@pytest.mark.parametrize("form", ["json", "console"])
def test_control_characters_are_escaped(form: str) -> None:
    """A caller chooses paths and names: none can forge a line, or send commands to a terminal."""
    code = f"""
import logging, structlog
from rerank_service.observability.logs import configure_logging
configure_logging("{form}", "info")
text = {CONTROLS!r}
structlog.get_logger().info("event" + text, call=text, several=[text], named={{text: text}})
logging.getLogger("theirs").warning("event %s", text)
"""
    _, _, err = _run(code, subprocess.PIPE)
    plain = re.sub(r"\x1b\[\d*(;\d+)*m", "", err)  # the colours of structlog
    assert len(plain.split("\n")) == 3
    assert not set(CONTROLS.replace("\n", "")) & set(plain)
    assert plain.count("\\u2028") == 6


def test_a_log_without_a_reader_is_no_error(broken_pipe: int) -> None:
    """The exit status is 0, because no buffer is left to flush at exit."""
    assert _run(LOG_TWICE, broken_pipe) == (0, "done\n", "")


def test_a_full_disk_is_no_error() -> None:
    """Lines are lost, and the process continues."""
    with Path("/dev/full").open("wb") as full:
        assert _run(LOG_TWICE, full.fileno()) == (0, "done\n", "")


@pytest.mark.parametrize("length", [100, 10_000])
def test_a_reader_that_hangs_is_no_error(length: int) -> None:
    """A full pipe drops lines, so that no request waits for the reader. Lines after that are whole."""
    code = f"""
import structlog
from rerank_service.observability.logs import configure_logging
configure_logging("json", "info")
for number in range(2000):
    structlog.get_logger().info("x" * {length})
print("done", flush=True)
input()
structlog.get_logger().info("after")
"""
    arguments = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as popen:
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        assert popen.stdout.readline() == "done\n"
        assert b'"x' in os.read(popen.stderr.fileno(), 1024 * 1024)
        popen.stdin.write("\n")
        popen.stdin.close()
        *_, last = popen.stderr
        assert json.loads(last)["event"] == "after"
        assert popen.wait(timeout=60) == 0


def test_a_closed_stderr_is_no_error() -> None:
    """Descriptor 2 may then belong to another file, and the log does not write to it."""
    code = f"import os, sys\nsys.stderr = None\nos.close(2)\nread, write = os.pipe()\n{LOG_TWICE}"
    code += (
        "os.set_blocking(read, False)\ntry:\n    print(os.read(read, 1))\nexcept BlockingIOError:\n    print('none')"
    )
    assert _run(code, subprocess.PIPE) == (0, "done\nnone\n", "")


def test_a_server_without_a_log_reader_ranks_and_drains(small_model: Bundle) -> None:
    """The exit status is 0."""
    with started("--model", str(small_model.folder)) as server:
        assert server.popen.stderr is not None
        server.popen.stderr.close()
        body = {"query": "0", "documents": ["1", "5"]}
        ranked = httpx.post(f"{server.rest}/v2/rerank", json=body, timeout=60).json()
        assert [result["index"] for result in ranked["results"]] == [1, 0]
        server.popen.send_signal(signal.SIGTERM)
        assert server.ended() == 0


@pytest.mark.parametrize(("level", "shown"), [("info", True), ("warning", True), ("error", False)])
def test_level_holds_for_libraries(level: str, shown: bool) -> None:
    """They log from warning, or from a higher level of the setting."""
    code = (
        "import logging; from rerank_service.observability.logs import configure_logging as configure;"
        f"configure('json', {level!r}); logging.getLogger('theirs').warning('careful'); logging.info('hidden')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("careful" in done.stderr, "hidden" in done.stderr) == (shown, False)


def test_a_library_logs_to_the_module_logging() -> None:
    """Below warnings nothing is printed, and a program that has configured structlog keeps its configuration."""
    code = (
        "import logging, structlog\n"
        "from rerank_service.observability.logs import log_by_standard_library\n"
        "log_by_standard_library()\n"
        "log = structlog.get_logger()\n"
        "log.info('hidden')\n"
        "log.warning('seen', model='m')\n"
        "logging.basicConfig(level='INFO', format='%(name)s %(levelname)s %(message)s')\n"
        "log.info('now')\n"
        "structlog.configure(processors=[structlog.processors.JSONRenderer()])\n"
        "log_by_standard_library()\n"
        "log.info('theirs')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[:2] == ["event='seen' model='m'", "__main__ INFO event='now'"]
    assert '"event": "theirs"' in done.stdout + done.stderr


HELD = """
import structlog, sys
from rerank_service.observability.logs import configure_logging, held_log
log = configure_logging("json", "info")
try:
    with held_log(log, holds=True) as release:
        structlog.get_logger().info("first")
        print("table", flush=True)
        if sys.argv[1:]:
            raise ValueError
        release()
        structlog.get_logger().info("second")
except ValueError:
    print("failed", flush=True)
with held_log(log, holds=False):
    structlog.get_logger().info("third")
"""


@pytest.mark.parametrize(
    ("arguments", "order"),
    [((), ["table", "first", "second", "third"]), (("fails",), ["table", "first", "failed", "third"])],
    ids=["released", "failed"],
)
def test_held_lines_follow_the_output_for_people(arguments: tuple[str, ...], order: list[str]) -> None:
    """Both go to one place here. A block that fails loses no line."""
    done = subprocess.run(
        [sys.executable, "-c", HELD, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert [json.loads(line)["event"] if line.startswith("{") else line for line in lines] == order

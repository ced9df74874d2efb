"""Errors that nothing handles have a line of the log, and no text of a caller."""

import json
import subprocess
import sys

CODE = """
import asyncio, gc, sys, threading
from rerank_service.observability.logs import configure_logging
from rerank_service.observability.unhandled_errors import log_unhandled_errors

configure_logging(sys.argv[1], "info")

def fail(*_):
    raise ValueError("".join(("Jane ", "Doe")))

class Failing:
    __del__ = fail

async def failing():
    fail()

async def main():
    loop = asyncio.get_running_loop()
    log_unhandled_errors(loop)
    loop.call_soon(fail)
    task = asyncio.create_task(failing(), name="Jane")
    thread = threading.Thread(target=fail, name="lane 0")
    thread.start()
    thread.join()
    threading.Thread(target=sys.exit).start()
    Failing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()

asyncio.run(main())
"""


def _logged(form: str) -> str:
    return subprocess.run([sys.executable, "-c", CODE, form], capture_output=True, text=True, check=True).stderr


def test_each_error_has_one_line() -> None:
    """In the loop, in a task, in a thread, and in a destructor. A thread that ends by `sys.exit` has none."""
    lines = [json.loads(line) for line in _logged("json").splitlines()]
    assert {line["event"] for line in lines} == {"unhandled error"}
    found = {line["where"]: line for line in lines}
    assert found["a thread has ended by an error"]["thread"] == "lane 0"
    assert found["an error was ignored"]["source"] == "fail"
    assert found["Task exception was never retrieved"]["task"] == "failing"
    assert len(lines) == len(found) == 4
    assert all(line["exception"][0]["exc_type"] == "ValueError" for line in lines)
    assert "Jane" not in str(lines)


def test_no_message_is_shown_to_people() -> None:
    """The class and the place are."""
    logged = _logged("console")
    assert logged.count("ValueError") >= 4
    assert "Jane Doe" not in logged

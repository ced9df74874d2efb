"""docs/replicas.md: the figures about repeated requests are those of the files and of urllib3."""

import re
from pathlib import Path

from urllib3.util.retry import Retry

_ROOT = Path(__file__).parents[2]
_PAGE = " ".join((_ROOT / "docs" / "replicas.md").read_text(encoding="utf-8").split())
_PROXIES = _ROOT / "deploy" / "proxies"


def test_bounds_of_the_retries_are_those_of_the_proxies() -> None:
    """Above them, a proxy answers 502."""
    nginx, haproxy = ((_PROXIES / name).read_text(encoding="utf-8") for name in ("nginx.conf", "haproxy.cfg"))
    (seconds,) = set(re.findall(r"(?:proxy|grpc)_next_upstream_timeout (\d+)s;", nginx))
    assert f"in the first {seconds} s of a request (`proxy_next_upstream_timeout`)" in _PAGE
    (size,) = re.findall(r"tune\.bufsize (\d+)", haproxy)
    assert f"requests of at most {int(size) // 1024} KiB (`tune.bufsize`)" in _PAGE


def test_waits_of_urllib3_are_those_of_the_page() -> None:
    """The first repetition is at once."""
    factor = re.search(r"backoff_factor=([\d.]+)", _PAGE)
    assert factor is not None
    retry, waits = Retry(total=4, backoff_factor=float(factor[1])), []
    for _ in range(4):
        retry = retry.increment("GET", "/", error=OSError())
        waits.append(retry.get_backoff_time())
    assert waits[0] == 0
    *earlier, last = (f"{wait:.1f}" for wait in waits[1:])
    assert f"repeats the first time at once, then after {', '.join(earlier)} and {last} s" in _PAGE

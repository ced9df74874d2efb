"""Call a server again and again with the Python client that this process finds, until standard input ends.

`python -m upgrade.steady_calls TARGET` prints the model name of each response. A failed call ends it with a traceback.
"""

import sys
import threading

from rerank.client import RerankClient
from upgrade.recorder.rest_calls import DOCUMENTS, QUERY


def _main(target: str) -> None:
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    with RerankClient(target, timeout=60, options=options) as client:
        while not ended.is_set():
            for response in (client.rerank(QUERY, DOCUMENTS), client.rerank_stream(QUERY, iter(DOCUMENTS))):
                assert len(response.results) == len(DOCUMENTS)
                print(response.model, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])

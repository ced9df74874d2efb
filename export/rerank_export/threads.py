"""Limit the threads of the libraries to the CPU quota of the process."""

import os

from rerank_service.engine.host import Cores, limit_tokenizer_threads


def limit_threads(available: Cores) -> None:
    """Set the number of threads of torch and of the tokenizers, before they start. Variables that are set stay.

    torch counts the cores of the machine itself, and does so better without a quota: it leaves out hyper-threads.
    """
    limit_tokenizer_threads()
    if available.usable < available.affinity:
        os.environ.setdefault("OMP_NUM_THREADS", str(available.usable))

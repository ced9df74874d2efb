"""Batches that run beside each other, and one that runs alone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rerank_service.scheduling.solo_runs import SoloRuns


def test_a_run_alone_waits_for_the_others_and_later_ones_wait_for_it() -> None:
    """Else batch after batch could begin, and it would never be alone."""
    runs, order = SoloRuns(), list[str]()
    begun, end = threading.Event(), threading.Event()

    def beside() -> None:
        with runs.beside_others():
            begun.set()
            end.wait()
            order.append("beside")

    def alone() -> None:
        with runs.alone():
            order.append("alone")

    def later() -> None:
        with runs.beside_others():
            order.append("later")

    with ThreadPoolExecutor(3) as threads:
        try:
            threads.submit(beside)
            begun.wait()
            threads.submit(alone)
            while not runs._alone:
                time.sleep(0)
            threads.submit(later)
        finally:
            end.set()
    assert order == ["beside", "alone", "later"]


def test_runs_beside_each_other_do_not_wait() -> None:
    """Lanes run at once."""
    runs = SoloRuns()
    with runs.beside_others(), runs.beside_others():
        pass


def test_a_failed_run_lets_others_run() -> None:
    """A run alone ends by an error when there is no memory for it at all."""
    runs = SoloRuns()
    for turn in (runs.alone, runs.beside_others, runs.alone):
        with pytest.raises(ValueError, match="failed"), turn():
            raise ValueError("failed")
    with runs.alone():
        pass

"""The garbage collector of a process of `rerank`."""

import gc
from collections.abc import Iterator

import pytest

from rerank_service.garbage import (
    FULL_COLLECTION_AFTER,
    collections_paused,
    keep_out_of_collections,
    make_full_collections_rare,
)


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Restore the collector of this process."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_only_full_collections_become_rare() -> None:
    """Young garbage is collected as before."""
    before = gc.get_threshold()
    make_full_collections_rare()
    assert gc.get_threshold() == (*before[:2], FULL_COLLECTION_AFTER)


def test_objects_of_the_start_are_not_visited() -> None:
    """These are the objects that are alive at the call."""
    keep_out_of_collections()
    assert gc.get_freeze_count() > 1000


def test_collections_are_paused_during_a_block() -> None:
    """Also if it fails. One that was off before stays off."""
    with collections_paused():
        assert not gc.isenabled()
        with collections_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError), collections_paused():
        raise ModuleNotFoundError
    assert gc.isenabled()

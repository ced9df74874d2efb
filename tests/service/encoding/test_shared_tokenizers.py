"""Models with equal tokenizer.json files share one tokenizer in memory."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from weakref import ref

import pytest
from tokenizers import Tokenizer, models

from rerank_service.encoding import shared_tokenizers
from rerank_service.encoding.shared_tokenizers import shared_tokenizer
from rerank_service.encoding.tokenizer_file import load_tokenizer
from rerank_service.errors import BundleInvalid
from rerank_service.models.files import STARTER, TOKENIZER


def _write(path: Path, *words: str) -> Path:
    vocabulary = {word: token_id for token_id, word in enumerate(("?", *words))}
    Tokenizer(models.WordLevel(vocabulary, unk_token="?")).save(str(path))
    return path


def test_equal_files_have_one_tokenizer(tmp_path: Path) -> None:
    """The path does not matter."""
    copy = shutil.copy(STARTER / TOKENIZER, tmp_path / "copy.json")
    assert shared_tokenizer(Path(copy)) is shared_tokenizer(STARTER / TOKENIZER)


def test_other_content_of_a_path_is_another_tokenizer(tmp_path: Path) -> None:
    """A file that was replaced is read again, while the tokenizer of the old one is in use."""
    path = tmp_path / "tokenizer.json"
    old = shared_tokenizer(_write(path, "a"))
    new = shared_tokenizer(_write(path, "b", "a"))
    assert (old.tokenizer.encode("a").ids, new.tokenizer.encode("a").ids) == ([1], [2])


def test_a_tokenizer_is_freed_with_its_last_model(tmp_path: Path) -> None:
    """The table of tokenizers keeps none alive."""
    shared = shared_tokenizer(_write(tmp_path / "tokenizer.json", "a", "freed"))
    freed = ref(shared)
    del shared
    assert freed() is None


def test_padding_and_truncation_of_the_file_are_off(tmp_path: Path) -> None:
    """PairTokenizer pads and cuts by itself."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "padded": 1}, unk_token="?"))
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(1)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    shared = shared_tokenizer(tmp_path / "tokenizer.json").tokenizer
    assert (shared.padding, shared.truncation) == (None, None)


def test_first_calls_at_the_same_time_get_one_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both threads load the file; the second one to finish drops its own tokenizer."""
    path = _write(tmp_path / "tokenizer.json", "a", "together")
    meeting = Barrier(2)

    def load_together(path: Path, content: bytes) -> Tokenizer:
        meeting.wait(60)
        return load_tokenizer(path, content)

    monkeypatch.setattr(shared_tokenizers, "load_tokenizer", load_together)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(shared_tokenizer, (path, path))
    assert first is second


def test_a_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    """The message is that of every reader of tokenizer.json."""
    with pytest.raises(BundleInvalid, match=r"missing\.json is not a tokenizer, or is damaged \(.*No such file"):
        shared_tokenizer(tmp_path / "missing.json")

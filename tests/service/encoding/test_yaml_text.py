"""Block YAML in pieces: the text of one dump, for any size of the pieces."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.encoding import yaml_text as yaml_text_module
from rerank_service.encoding.object_text import object_text
from rerank_service.encoding.yaml_text import MAX_PIECE, yaml_text
from rerank_service.scheduling.stoppable import CallStopped, stopped_by

SPECIAL = " \n\t:-#'\"{}[],&*!|>%@`?a1\x85\u2028\ufeff~=<.e+_0x\ue000"
BASIC = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])
TEXTS = st.text(BASIC, max_size=12) | st.text(st.sampled_from(SPECIAL), max_size=8) | st.just("k" * 130)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
PLAIN = st.text(st.sampled_from("aé日 \n:-'😀\U00020000\U0010fffe\ue000"), min_size=1, max_size=8)


def containers(texts: st.SearchStrategy[str], scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for lists and objects, nested in each other."""

    def nested(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(parts, max_size=4) | st.dictionaries(texts, parts, max_size=4)

    return nested(st.recursive(scalars, nested, max_leaves=12))


def dumped(value: Any, dumper: Any) -> str:
    """Return the text of one dump."""
    text: str = yaml.dump(value, Dumper=dumper, width=2**31 - 1, allow_unicode=True, sort_keys=False)
    return text.rstrip("\n")


@given(containers(TEXTS, SCALARS), st.integers(1, 6))
def test_pieces_make_the_text_of_one_dump(value: Any, max_piece: int) -> None:
    """The indent of each piece fits, also for keys and strings of several lines."""
    assert yaml_text(value, max_piece) == dumped(value, yaml.CSafeDumper)


@given(containers(PLAIN, PLAIN), st.integers(1, 6))
def test_characters_beyond_the_basic_plane_are_kept(value: Any, max_piece: int) -> None:
    """In the form of PyYAML's own writer, which is slow, and escapes them between double quotes."""
    expected = re.sub(r"\\U([0-9A-F]{8})", lambda code: chr(int(code[1], 16)), dumped(value, yaml.SafeDumper))
    assert yaml_text(value, max_piece) == expected


def test_emoji_beside_control_characters_are_kept() -> None:
    """PyYAML's own writer would escape them there."""
    assert yaml_text(["a\t😀", "\x07😀"]) == '- "a\\t😀"\n- "\\a😀"'


def test_very_many_different_characters_are_kept() -> None:
    """More than there are characters for private use, by which libyaml gets them."""
    text = "".join(map(chr, range(0x20000, 0x20000 + 7_000)))
    assert yaml_text([text]) == f"- {text}"


def test_only_as_many_private_characters_as_needed_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each was searched for in the whole text: one emoji made a long text take 50 times as long."""
    tried: list[int] = []

    def private() -> Iterator[int]:
        for code in range(0xE000, 0xF900):
            tried.append(code)
            yield code

    monkeypatch.setattr(yaml_text_module, "_PRIVATE", private())
    assert yaml_text(["\ue000 日本 😀"]) == "- \ue000 日本 😀"
    assert tried == [0xE000, 0xE001]


def test_numbers_of_the_issue_become_lines() -> None:
    """A list of 490,000 numbers took 3 s, in one step."""
    assert object_text({"a": [7] * 490_000, "b": 1}, [], field="documents[0]") == "a:\n" + "- 7\n" * 490_000 + "b: 1"


class SetAfter(threading.Event):
    """An event that is set when it was asked that many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def is_set(self) -> bool:
        """Return True after that many calls."""
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(
    "value",
    [
        [1.5] * (3 * MAX_PIECE),
        ["a"] * (3 * MAX_PIECE),
        {str(key): key for key in range(3 * MAX_PIECE)},
        [[{"a": ["b"] * 9}] for _ in range(MAX_PIECE)],
        {"a": {"b": [{"c": "😀" * 200} for _ in range(MAX_PIECE)]}},
    ],
    ids=["numbers", "strings", "keys", "nested", "emoji"],
)
def test_text_is_stopped_between_pieces(value: Any) -> None:
    """If the request has ended. Two pieces are written before that."""
    event = SetAfter(2)
    with stopped_by(event), pytest.raises(CallStopped):
        object_text({"value": value, "other": 1}, [], field="documents[0]")
    assert event.left == -1

"""Pairs that a bundle's template writes: what is tokenized with what, what is cut, who may instruct."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers

from rerank_service.encoding.template import Template
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.encoding.windows import ReadingPlan
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.models.bundle import Bundle, Manifest, open_bundle
from rerank_service.ranking.request import CutSide
from support.running import Served, running, served
from support.small import write_small_model

ASKED = Template(
    before=("<s>judge\n", "task: {instruction}\n", "query: {query}\n"),
    document="document: {document}",
    after=("</s>\n", "so?"),
    instruction="find",
)
SLOTLESS = Template(before=("{query} ",), after=(" .",))
TEXT = st.text(alphabet="ab .\n{}querydocumentinstruction🚀é", max_size=30)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose every token is one character, so that ids can be read back."""
    characters = sorted({*map(chr, range(32, 127)), "\n", "🚀", "é", "?"})
    tokenizer = Tokenizer(models.WordLevel({one: at for at, one in enumerate(characters)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    path = tmp_path_factory.mktemp("letters") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def _read(path: Path, ids: Any) -> str:
    tokenizer = Tokenizer.from_file(str(path))
    return "".join(tokenizer.id_to_token(int(one)) or "" for one in ids)


def _pair(
    letters: Path, template: Template, query: str, document: str, instruction: str = "", window: int = 200
) -> str:
    pairs = PairTokenizer(letters, max_tokens=window, template=template)
    (pair,) = pairs.encode_documents(pairs.encode_query(query, instruction), [document])
    assert len(pair) <= window
    assert not pair.head.type_ids.any()
    return _read(letters, [*pair.head.ids, *pair.document, *pair.tail.ids])


@given(query=TEXT, document=TEXT)
def test_a_pair_is_the_text_with_its_slots_filled(letters: Path, query: str, document: str) -> None:
    """Whatever query and document look like: a slot in them is their own text."""
    expected = f"<s>judge\ntask: find\nquery: {query}\ndocument: {document}</s>\nso?"
    assert _pair(letters, ASKED, query, document) == expected


def test_only_the_document_is_cut(letters: Path) -> None:
    """Query, lead and suffix stay, whatever the window and `max_tokens_per_doc`."""
    around = "<s>judge\ntask: find\nquery: q\ndocument: </s>\nso?"
    for kept in (1, 7):
        written = _pair(letters, ASKED, "q", "x" * 1000, window=len(around) + kept)
        assert written == around.replace("document: ", f"document: {'x' * kept}")
    pairs = PairTokenizer(letters, max_tokens=200, template=ASKED)
    (pair,) = pairs.encode_documents(pairs.encode_query("q"), ["x" * 20], max_tokens_per_doc=3)
    assert (_read(letters, pair.document), pair.truncated) == ("document: xxx", True)


def test_the_lead_stays_when_the_beginning_is_cut(letters: Path) -> None:
    """It belongs to the template."""
    pairs = PairTokenizer(letters, max_tokens=200, template=ASKED)
    query, left = pairs.encode_query("q"), CutSide.LEFT
    cut, whole = pairs.encode_documents(query, ["abcdef", "ab"], max_tokens_per_doc=3, cut_side=left)
    assert (_read(letters, cut.document), cut.truncated) == ("document: def", True)
    assert (_read(letters, whole.document), whole.truncated) == ("document: ab", False)


def test_a_query_without_room_is_refused_whatever_stands_around(letters: Path) -> None:
    """The longest query that is let in leaves one token; an instruction takes of the same room."""
    around = len("<s>judge\ntask: find\nquery: \ndocument: </s>\nso?")
    pairs = PairTokenizer(letters, max_tokens=around + 6, template=ASKED)
    assert pairs.encode_query("q" * 5).room == 1
    with pytest.raises(InvalidRequest, match=r"query has 6 tokens.*at most 5"):
        pairs.encode_query("q" * 6)
    with pytest.raises(InvalidRequest, match=r"query has 5 tokens.*at most 4"):
        pairs.encode_query("q" * 5, "find!")


def test_an_instruction_fills_its_slot(letters: Path) -> None:
    """In place of the model's own; where neither is there, the text with the slot is left out."""
    assert "task: seek {query}\nquery: q" in _pair(letters, ASKED, "q", "d", "seek {query}")
    optional = ASKED.model_copy(update={"instruction": ""})
    assert _pair(letters, optional, "q", "d") == "<s>judge\nquery: q\ndocument: d</s>\nso?"
    assert "task: seek\n" in _pair(letters, optional, "q", "d", "seek")


def test_an_instruction_without_a_slot_is_refused(letters: Path, small_model: Bundle) -> None:
    """By the field's name, for a template without one and for a tokenizer's own form."""
    for pairs in (
        PairTokenizer(letters, max_tokens=99, template=SLOTLESS),
        PairTokenizer(small_model.tokenizer, max_tokens=32),
    ):
        assert pairs.encode_query("1").room > 0
        with pytest.raises(InvalidRequest, match="no slot") as caught:
            pairs.encode_query("1", "find")
        assert (caught.value.field, caught.value.reason) == ("instruction", "no_instruction_slot")


@pytest.mark.parametrize(
    "wrong",
    [
        {"before": ("no slot",)},
        {"before": ("{query} {query}",)},
        {"before": ("{query}{document}",)},
        {"before": ("{query}{instruction}{instruction}",)},
        {"before": ("{query}",), "document": "text"},
        {"before": ("{query}",), "document": "{document}!"},
        {"before": ("{query}",), "document": "{query}{document}"},
        {"before": ("{query}",), "after": ("{query}",)},
        {"before": ("{query}",), "instruction": "find"},
        {"before": ("{query}",), "instructions": "find"},
    ],
    ids=str,
)
def test_a_template_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    """Each slot stands where it belongs, once; what could be cut with the document does not."""
    with pytest.raises(ValidationError):
        Template.model_validate(wrong)


def test_a_template_longer_than_the_window_is_refused(letters: Path) -> None:
    """When the model is loaded, not when it is asked."""
    with pytest.raises(BundleInvalid, match="the template alone has 46 tokens"):
        PairTokenizer(letters, max_tokens=40, template=ASKED)


def test_a_guess_counts_the_template(letters: Path) -> None:
    """And the instruction."""
    pairs = PairTokenizer(letters, max_tokens=200, template=ASKED)
    plain, instructed = (pairs.token_estimator("q", ReadingPlan(99), instruction=one) for one in ("", "find " * 9))
    assert plain(40) > 46
    assert instructed(40) > plain(40) + 10


def test_of_no_template_nothing_is_written(small_model: Bundle) -> None:
    """So a bundle without one keeps its digest, and servers that know of none take it."""
    assert b"template" not in (small_model.folder / "manifest.json").read_bytes()


def test_a_template_is_part_of_what_scores_depend_on(small_model: Bundle) -> None:
    """Another template, another digest; and it comes back as it was written."""
    manifest = small_model.manifest.model_copy(update={"template": ASKED})
    assert manifest.digest != small_model.manifest.digest
    assert Manifest.model_validate_json(manifest.model_dump_json()).template == ASKED


@pytest.fixture
async def instructed(tmp_path: Path) -> AsyncIterator[Served]:
    """The small model, which counts tokens of the type 1: with a template, of which there are none."""
    template = Template(before=("{instruction} ", "{query} "), document="{document}", instruction="5")
    bundle = write_small_model(tmp_path / "model", template=template)
    async with running(open_bundle(bundle.folder)) as core, served(core) as edges:
        yield edges


async def test_an_instruction_comes_with_a_request(instructed: Served) -> None:
    """Over gRPC, as a stream too, and REST. The small model sums what the pair holds: instruction, query, document."""
    client = instructed.client
    assert (await client.rerank("1", ["2"])).results[0].logit == 8
    assert (await client.rerank("1", ["2"], instruction="7")).results[0].logit == 10
    assert (await client.rerank_stream("1", ["2"], instruction="9")).results[0].logit == 12
    body = {"query": "1", "documents": ["2"], "instruction": "4", "raw_scores": True}
    answer = await instructed.http.post("/v2/rerank", json=body)
    assert answer.json()["results"][0]["relevance_score"] == 7
    answer = await instructed.http.post("/v2/rerank", json=body | {"instruction": None})
    assert answer.json()["results"][0]["relevance_score"] == 8


async def test_an_instruction_that_the_model_does_not_take_is_refused(edges: Served) -> None:
    """With the field's name, over gRPC and REST."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edges.client.rerank("1", ["2"], instruction="find")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no slot" in (caught.value.details() or "")
    answer = await edges.http.post("/v2/rerank", json={"query": "1", "documents": ["2"], "instruction": "find"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "instruction"
    assert edges.core.idle()
    assert (await edges.client.rerank("1", ["2"], instruction="")).results[0].logit == 2

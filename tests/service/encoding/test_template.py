"""Templates: the tokens of a pair, cutting, and instructions."""

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
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.models.bundle import Bundle, open_bundle
from rerank_service.models.manifest import Manifest
from rerank_service.ranking.request import CutSide
from support.reading_plans import plan_for
from support.running import Served, running, served
from support.small import write_small_model

INSTRUCTED = Template(
    before=("<s>judge\n", "task: {instruction}\n", "query: {query}\n"),
    document="document: {document}",
    after=("</s>\n", "so?"),
    instruction="find",
)
WITHOUT_SLOT = Template(before=("{query} ",), after=(" .",))
TEXT = st.text(alphabet="ab .\n{}querydocumentinstruction🚀é", max_size=30)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tokenizer with one token for each character, so that ids can be turned back into text."""
    characters = sorted({*map(chr, range(32, 127)), "\n", "🚀", "é", "?"})
    tokenizer = Tokenizer(models.WordLevel({character: at for at, character in enumerate(characters)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    path = tmp_path_factory.mktemp("letters") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def _read(path: Path, ids: Any) -> str:
    tokenizer = Tokenizer.from_file(str(path))
    return "".join(tokenizer.id_to_token(int(token)) or "" for token in ids)


def _pair(
    letters: Path, template: Template, query: str, document: str, instruction: str = "", window: int = 200
) -> str:
    pairs = PairTokenizer(letters, max_tokens=window, template=template)
    (pair,) = pairs.encode_documents(pairs.encode_query(query, instruction), [document])
    assert len(pair) <= window
    assert not pair.head.type_ids.any()
    return _read(letters, [*pair.head.ids, *pair.document, *pair.tail.ids])


@given(query=TEXT, document=TEXT)
def test_pair_is_the_template_with_filled_slots(letters: Path, query: str, document: str) -> None:
    """A slot in the text of a query or a document is not filled."""
    expected = f"<s>judge\ntask: find\nquery: {query}\ndocument: {document}</s>\nso?"
    assert _pair(letters, INSTRUCTED, query, document) == expected


def test_only_the_document_is_cut(letters: Path) -> None:
    """Query, lead and suffix stay complete, for any token limit and `max_tokens_per_doc`."""
    around = "<s>judge\ntask: find\nquery: q\ndocument: </s>\nso?"
    for kept in (1, 7):
        written = _pair(letters, INSTRUCTED, "q", "x" * 1000, window=len(around) + kept)
        assert written == around.replace("document: ", f"document: {'x' * kept}")
    pairs = PairTokenizer(letters, max_tokens=200, template=INSTRUCTED)
    (pair,) = pairs.encode_documents(pairs.encode_query("q"), ["x" * 20], max_tokens_per_doc=3)
    assert (_read(letters, pair.document), pair.truncated) == ("document: xxx", True)


def test_lead_stays_if_the_beginning_is_cut(letters: Path) -> None:
    """The lead belongs to the template."""
    pairs = PairTokenizer(letters, max_tokens=200, template=INSTRUCTED)
    query, left = pairs.encode_query("q"), CutSide.LEFT
    cut, whole = pairs.encode_documents(query, ["abcdef", "ab"], max_tokens_per_doc=3, cut_side=left)
    assert (_read(letters, cut.document), cut.truncated) == ("document: def", True)
    assert (_read(letters, whole.document), whole.truncated) == ("document: ab", False)


def test_query_that_leaves_no_room_beside_the_template_is_rejected(letters: Path) -> None:
    """The longest accepted query leaves one token. An instruction takes room from the query."""
    around = len("<s>judge\ntask: find\nquery: \ndocument: </s>\nso?")
    pairs = PairTokenizer(letters, max_tokens=around + 6, template=INSTRUCTED)
    assert pairs.encode_query("q" * 5).room == 1
    with pytest.raises(InvalidRequest, match=r"query has 6 tokens.*at most 5"):
        pairs.encode_query("q" * 6)
    with pytest.raises(InvalidRequest, match=r"query has 5 tokens.*at most 4"):
        pairs.encode_query("q" * 5, "find!")


def test_instruction_fills_its_slot(letters: Path) -> None:
    """It replaces the default instruction. Without either, the text with the slot is left out."""
    assert "task: seek {query}\nquery: q" in _pair(letters, INSTRUCTED, "q", "d", "seek {query}")
    optional = INSTRUCTED.model_copy(update={"instruction": ""})
    assert _pair(letters, optional, "q", "d") == "<s>judge\nquery: q\ndocument: d</s>\nso?"
    assert "task: seek\n" in _pair(letters, optional, "q", "d", "seek")


def test_instruction_without_a_slot_is_rejected(letters: Path, small_model: Bundle) -> None:
    """For a template without the slot, and for the layout of a tokenizer. The error names the field."""
    for pairs in (
        PairTokenizer(letters, max_tokens=99, template=WITHOUT_SLOT),
        PairTokenizer(small_model.tokenizer, max_tokens=32),
    ):
        assert pairs.encode_query("1").room > 0
        with pytest.raises(InvalidRequest, match="no slot") as caught:
            pairs.encode_query("1", "find")
        assert (caught.value.field, caught.value.reason) == ("instruction", "no_instruction_slot")


def test_query_beside_an_instruction_is_never_left_out() -> None:
    """Bundles of earlier versions have such templates without a default instruction."""
    template = Template(before=("Task: {instruction}\n", "Q: {query} I: {instruction2}\n"))
    assert template.head("q") == ["Q: q I: {instruction2}\n"]
    template = Template(before=("Task: {instruction}\nQuery: {query}\n",))
    assert template.head("q") == ["Task: \nQuery: q\n"]
    assert template.head("q", "find") == ["Task: find\nQuery: q\n"]


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
def test_invalid_template_is_rejected(wrong: dict[str, Any]) -> None:
    """Each slot must be in its place, at most once, and no text after the document may be cut with it."""
    with pytest.raises(ValidationError):
        Template.model_validate(wrong)


def test_template_longer_than_the_token_limit_is_rejected(letters: Path) -> None:
    """When the model is loaded."""
    with pytest.raises(BundleInvalid, match="the template alone has 46 tokens"):
        PairTokenizer(letters, max_tokens=40, template=INSTRUCTED)


def test_token_estimate_counts_the_template(letters: Path) -> None:
    """It counts the instruction, too."""
    pairs = PairTokenizer(letters, max_tokens=200, template=INSTRUCTED)
    plain, instructed = (
        pairs.token_estimate("q", plan_for(200, max_tokens=99), instruction=text) for text in ("", "find " * 9)
    )
    assert plain(40) > 46
    assert instructed(40) > plain(40) + 10


def test_manifest_without_a_template_does_not_mention_it(small_model: Bundle) -> None:
    """So its digest stays, and older servers can read it."""
    assert b"template" not in (small_model.folder / "manifest.json").read_bytes()


def test_template_changes_the_digest(small_model: Bundle) -> None:
    """The template is read back from the manifest unchanged."""
    manifest = small_model.manifest.model_copy(update={"template": INSTRUCTED})
    assert manifest.digest != small_model.manifest.digest
    assert Manifest.model_validate_json(manifest.model_dump_json()).template == INSTRUCTED


@pytest.fixture
async def instructed(tmp_path: Path) -> AsyncIterator[Served]:
    """Serve the small model with a template. All tokens then have type 0, so the logit sums the whole pair."""
    template = Template(before=("{instruction} ", "{query} "), document="{document}", instruction="5")
    bundle = write_small_model(tmp_path / "model", template=template)
    async with running(open_bundle(bundle.folder)) as core, served(core) as edges:
        yield edges


async def test_request_may_set_the_instruction(instructed: Served) -> None:
    """Over gRPC, in a stream, and over REST. The logit is the sum of instruction, query and document."""
    client = instructed.client
    assert (await client.rerank("1", ["2"])).results[0].logit == 8
    assert (await client.rerank("1", ["2"], instruction="7")).results[0].logit == 10
    assert (await client.rerank_stream("1", ["2"], instruction="9")).results[0].logit == 12
    body = {"query": "1", "documents": ["2"], "instruction": "4", "raw_scores": True}
    response = await instructed.http.post("/v2/rerank", json=body)
    assert response.json()["results"][0]["relevance_score"] == 7
    response = await instructed.http.post("/v2/rerank", json=body | {"instruction": None})
    assert response.json()["results"][0]["relevance_score"] == 8


async def test_instruction_is_rejected_by_a_model_without_a_slot(edges: Served) -> None:
    """Over gRPC and REST, with the name of the field."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edges.client.rerank("1", ["2"], instruction="find")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no slot" in (caught.value.details() or "")
    response = await edges.http.post("/v2/rerank", json={"query": "1", "documents": ["2"], "instruction": "find"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "instruction"
    assert edges.core.idle()
    assert (await edges.client.rerank("1", ["2"], instruction="")).results[0].logit == 2

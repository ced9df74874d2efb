"""Amazon Bedrock's Rerank."""

import threading
from typing import Any

import pytest

from rerank_service.api.auth import Keys
from rerank_service.api.http.documents import JsonReader
from rerank_service.ranking.document import TextLength
from support.http import post
from support.running import MAX_MESSAGE_BYTES, Running, Served, served
from support.small import WORDS

_SIGNATURE = (
    "AWS4-HMAC-SHA256 Credential=sesame/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=f0"
)


def _text(text: str) -> dict[str, Any]:
    return {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}


def _json(document: Any) -> dict[str, Any]:
    return {"type": "INLINE", "inlineDocumentSource": {"type": "JSON", "jsonDocument": document}}


def _body(*sources: Any, arn: str = "small", **options: Any) -> dict[str, Any]:
    model = {"modelArn": arn, **options.pop("model", {})}
    return {
        "queries": [{"type": "TEXT", "textQuery": {"text": "0"}}],
        "sources": list(sources),
        "rerankingConfiguration": {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"modelConfiguration": model, **options},
        },
    }


async def test_response_has_bedrocks_form(edges: Served) -> None:
    """Texts and JSON documents, the most relevant first. There is no `nextToken`, so a paginator ends."""
    response = await post(edges, _body(_text("1"), _json({"title": "3", "page": 2}), _json("2")), "/rerank")
    content = response.json()
    assert content.keys() == {"results"}
    assert [result["index"] for result in content["results"]] == [1, 2, 0]
    assert all(result.keys() == {"index", "relevanceScore"} for result in content["results"])
    assert response.headers["x-amzn-requestid"] == response.headers["x-request-id"]


async def test_wide_document_is_measured_in_a_thread(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its fields is looked at, not only those of the source around it."""
    threads = list[int]()

    def length(*_: object) -> TextLength:
        threads.append(threading.get_ident())
        return TextLength(1)

    monkeypatch.setattr(JsonReader, "length", length)
    for document in ({f"k{number}": "1" for number in range(1_000)}, {"text": "1"}):
        await post(edges, _body(_json(document)), "/rerank")
    assert [thread == threading.get_ident() for thread in threads] == [False, True]


async def test_number_of_results_limits_the_ranking(edges: Served) -> None:
    """0 and null mean all."""
    sources = [_text("1"), _text("2")]
    for number, length in ((1, 1), (5, 2), (0, 2), (None, 2)):
        content = (await post(edges, _body(*sources, numberOfResults=number), "/rerank")).json()
        assert len(content["results"]) == length


@pytest.mark.parametrize(
    "arn",
    [
        "small",
        "default",
        "arn:aws:bedrock:us-west-2::foundation-model/small",
        "arn:aws:bedrock:us-west-2::foundation-model/default",
        "arn:aws-cn:bedrock:cn-north-1:123456789012:inference-profile/small",
    ],
)
async def test_model_may_be_an_arn(edges: Served, arn: str) -> None:
    """The name is behind the first slash."""
    assert (await post(edges, _body(_text("1"), arn=arn), "/rerank")).status_code == 200


@pytest.mark.parametrize(
    "arn", ["arn:aws:bedrock:us-west-2::small", "arn:aws:bedrock:us-west-2::custom-model/", "arn:"]
)
async def test_arn_without_a_name_is_an_unknown_model(edges: Served, arn: str) -> None:
    """It does not stand for the default model."""
    response = await post(edges, _body(_text("1"), arn=arn), "/rerank")
    assert (response.status_code, response.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")


async def test_configuration_is_optional(edges: Served) -> None:
    """AWS SDKs require it, other callers may leave it out."""
    body = _body(_text("1"))
    for configuration in (None, {}, {"bedrockRerankingConfiguration": None}):
        response = await post(edges, body | {"rerankingConfiguration": configuration, "nextToken": ""}, "/rerank")
        assert response.status_code == 200, response.text


async def test_model_fields_are_applied(edges: Served) -> None:
    """`max_tokens_per_doc` cuts documents; any other field is rejected."""
    short = {"additionalModelRequestFields": {"max_tokens_per_doc": 1}}
    content = (await post(edges, _body(_text("1 9"), _text("2"), model=short), "/rerank")).json()
    assert [result["index"] for result in content["results"]] == [1, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"queries": []}, "queries must have one query, not 0"),
        ({"queries": [{"textQuery": {"text": "0"}}] * 2}, "queries must have one query, not 2"),
        ({"queries": [{"type": "TEXT"}]}, "queries[0].textQuery is required"),
        ({"nextToken": "more"}, "nextToken is not supported"),
        ({"sources": [_text("1"), {"type": "INLINE"}]}, "sources[1] must have the form"),
        ({"sources": [_text("1"), "2"]}, "sources[1] must have the form"),
        ({"sources": [{"inlineDocumentSource": {"type": "TEXT"}}]}, "sources[0] must have the form"),
        ({"sources": [_json(7)]}, "sources[0] must be a string or an object"),
        ({"sources": [_json({})]}, "sources[0]"),
        ({"sources": []}, "sources must not be empty"),
    ],
)
async def test_invalid_field_is_named(edges: Served, change: dict[str, Any], words: str) -> None:
    """As the client sent it."""
    response = await post(edges, _body(_text("1")) | change, "/rerank")
    assert response.status_code == 400
    assert words in response.json()["message"]


async def test_other_keys_with_documents_have_precedence(edges: Served) -> None:
    """A body with documents in both places is unified: no AWS SDK sends it."""
    content = (await post(edges, _body(_text("1")) | {"query": "0", "documents": ["1", "2"]}, "/rerank")).json()
    assert [result["index"] for result in content["results"]] == [1, 0]
    assert content["object"] == "rerank"
    empty = await post(edges, _body(_text("1")) | {"documents": [], "texts": None}, "/rerank")
    assert empty.json()["results"][0].keys() == {"index", "relevanceScore"}


async def test_unsupported_model_field_is_named(edges: Served) -> None:
    """It may change the result."""
    body = _body(_text("1"), model={"additionalModelRequestFields": {"temperature": 1}})
    response = await post(edges, body, "/rerank")
    assert (response.status_code, response.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert "additionalModelRequestFields.temperature is not supported" in response.json()["message"]


async def test_first_unsupported_model_field_is_named(edges: Served) -> None:
    """Fields are not sorted: a million took 3 s, in which the server answered nothing else."""
    fields = {"max_tokens_per_doc": 1, "z": 1, "a": 1}
    response = await post(edges, _body(_text("1"), model={"additionalModelRequestFields": fields}), "/rerank")
    assert "additionalModelRequestFields.z is not supported" in response.json()["message"]


async def test_error_does_not_repeat_a_long_field(edges: Served) -> None:
    """A name may have megabytes, and the log has the message too."""
    body = _body(_text("1"), model={"additionalModelRequestFields": {"x" * 100_000: 1}})
    response = await post(edges, body, "/rerank")
    assert response.status_code == 400
    assert len(response.content) < 1000


async def test_long_documents_are_scored_in_windows(edges: Served) -> None:
    """Like in the unified dialect."""
    long = " ".join(["0"] * WORDS + ["9"])
    content = (await post(edges, _body(_text("1"), _text(long)), "/rerank")).json()
    assert content["results"][0]["index"] == 1


async def test_signature_is_not_a_key(core: Running) -> None:
    """The access key id, which is not a secret, does not open the server. The session token does. The error says so."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        signed = await post(edges, _body(_text("1")), "/rerank", authorization=_SIGNATURE)
        assert (signed.status_code, signed.headers["x-amzn-errortype"]) == (401, "AccessDeniedException")
        assert "AWS_SESSION_TOKEN" in signed.json()["message"]
        for header in ("x-amz-security-token", "x-api-key"):
            headers = {"authorization": _SIGNATURE, header: "sesame"}
            assert (await post(edges, _body(_text("1")), "/rerank", **headers)).status_code == 200
    async with served(core) as edges:
        assert (await post(edges, _body(_text("1")), "/rerank", authorization=_SIGNATURE)).status_code == 200


@pytest.mark.parametrize(
    ("body", "headers", "kind"),
    [
        (b"1" * (MAX_MESSAGE_BYTES + 1), {}, "ValidationException"),
        (b"1" * 70_000, {"x-api-key": "wrong"}, "AccessDeniedException"),
        (b"{", {}, "ValidationException"),
        (b"{}", {"content-encoding": "private"}, "ValidationException"),
    ],
    ids=["too large", "large without a key", "no JSON", "coding"],
)
async def test_error_before_the_body_is_read_has_the_type_too(
    core: Running, body: bytes, headers: dict[str, str], kind: str
) -> None:
    """Without the keys of the body, the form is unified. AWS SDKs take the type from the header."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        response = await post(edges, body, "/rerank", **{"x-api-key": "sesame", **headers})
        assert (response.headers["x-amzn-errortype"], response.json().keys() >= {"message"}) == (kind, True)
        assert response.headers["x-amzn-requestid"] == response.headers["x-request-id"]
        elsewhere = await post(edges, body, "/v1/rerank", **{"x-api-key": "sesame", **headers})
        assert "x-amzn-errortype" not in elsewhere.headers

"""docs/traces.md names every attribute of a span."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rerank_service.errors import Overloaded
from rerank_service.observability.request_record import OTHER, RankedText, RequestRecord, Texts, failure_of
from rerank_service.tracing.attributes import call_attributes, result_attributes, text_attributes
from support.request_records import RECORD

_PAGE = (Path(__file__).parents[3] / "docs" / "traces.md").read_text()
_TABLE = _PAGE.split("## Attributes")[1].split("- **Status:**")[0]


_REFUSED = replace(
    RECORD,
    status=429,
    dialect="cohere_v2",
    asked_model="small",
    key="search",
    documents=1,
    is_ranking=True,
    top_n=1,
    failure=failure_of(Overloaded("full", retry_after=1.0)),
)


@pytest.mark.parametrize(
    "record",
    [
        _REFUSED,
        replace(_REFUSED, method="BREW", route=OTHER),
        replace(_REFUSED, protocol="grpc", status="RESOURCE_EXHAUSTED"),
        replace(_REFUSED, protocol="grpc", route=OTHER, status="UNIMPLEMENTED"),
    ],
)
def test_every_attribute_is_documented(record: RequestRecord) -> None:
    """With a number in the name, `N`."""
    texts = Texts("1", ["2"], [RankedText(0, None, 0.5)])
    attributes = call_attributes(record) | result_attributes(record, {"user-agent": ["x"]}) | text_attributes(texts)
    documented = set(re.findall(r"`([a-z_.N]+\.[a-z_.N]+)`", _TABLE))
    documented |= {f"reranker.output_documents.N.document.{name}" for name in ("score", "content")}
    assert {re.sub(r"\.\d+\.", ".N.", name) for name in attributes} <= documented

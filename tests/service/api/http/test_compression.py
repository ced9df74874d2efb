"""Compression of responses: for large responses, as the client prefers."""

import gzip
from collections.abc import Sequence

import httpx
import orjson
import pytest

from rerank_service.api.http.compression import accepts_gzip
from support.running import Served

_DOCUMENTS = [f"{number} {'words ' * 50}" for number in range(100)]


async def _response(edges: Served, documents: Sequence[str], accepts: str | None) -> httpx.Response:
    """Return the response as it was sent: httpx would decompress its content."""
    body = {"query": "0", "documents": documents, "return_documents": True}
    request = edges.http.build_request("POST", "/v1/rerank", json=body)
    del request.headers["accept-encoding"]
    if accepts is not None:
        request.headers["accept-encoding"] = accepts
    return await edges.http.send(request, stream=True)


async def test_large_response_is_compressed_if_the_client_accepts_it(edges: Served) -> None:
    """The content is the same, with the header `Vary` in both forms."""
    plain = await _response(edges, _DOCUMENTS, None)
    expected = b"".join([part async for part in plain.aiter_raw()])
    packed = await _response(edges, _DOCUMENTS, "br, gzip;q=0.5")
    content = b"".join([part async for part in packed.aiter_raw()])
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert len(content) == int(packed.headers["content-length"]) < len(expected) / 2
    results = [orjson.loads(text)["results"] for text in (expected, gzip.decompress(content))]
    assert results[0] == results[1]


@pytest.mark.parametrize("accepts", ["gzip;q=0", "identity, gzip;q=0.5", "br"])
async def test_large_response_is_not_compressed_against_the_client(edges: Served, accepts: str) -> None:
    """q-values count."""
    response = await _response(edges, _DOCUMENTS, accepts)
    await response.aread()
    assert "content-encoding" not in response.headers


async def test_small_response_is_not_compressed(edges: Served) -> None:
    """It would take longer."""
    response = await _response(edges, ["1", "2"], "gzip")
    await response.aread()
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0.1", True),
        ("gzip;q=0.5, identity;q=1", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("identity", False),
        ("identity;q=0, gzip", True),
        ("gzip;q=", False),
        ("gzip;q=high", False),
        ("gzip;q=nan", False),
        ("gzip;", True),
        ("gzip;v=1", True),
        (" , gzip ,", True),
    ],
)
def test_preferences_of_the_client_count(value: str, accepted: bool) -> None:
    """RFC 9110, section 12.5.3."""
    assert accepts_gzip(value) is accepted

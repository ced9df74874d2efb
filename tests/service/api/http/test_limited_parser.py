"""Requests whose parts cost much more time than their bytes suggest."""

from typing import Any

import h11
import pytest

from rerank_service.api.http.limited_parser import LimitedParser

_HEAD = b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def _events(parser: LimitedParser, data: bytes) -> list[Any]:
    """Return the events of some bytes, up to an error."""
    parser.receive_data(data)
    events: list[Any] = []
    while not events or (events[-1] is not h11.NEED_DATA and not isinstance(events[-1], h11.EndOfMessage)):
        try:
            events.append(parser.next_event())
        except h11.RemoteProtocolError as error:
            return [*events, error]
    return events


def _chunked(size: int, count: int) -> bytes:
    return (b"%x\r\n" % size + b"a" * size + b"\r\n") * count + b"0\r\n\r\n"


def test_number_of_small_chunks_is_limited() -> None:
    """43,000 of them fit into a body that is read before its key is checked, and each costs 11 µs."""
    events = _events(LimitedParser(), _HEAD + _chunked(1, 43_000))
    assert sum(isinstance(event, h11.Data) for event in events) == 1142
    assert str(events[-1]) == "its chunks have less than 8 bytes on average"
    assert events[-1].error_status_hint == 400


@pytest.mark.parametrize(("size", "count"), [(1, 1000), (8, 8000), (60, 20_000)])
def test_tokens_of_json_may_be_chunks(size: int, count: int) -> None:
    """Some clients send each token at once."""
    events = _events(LimitedParser(), _HEAD + _chunked(size, count))
    assert isinstance(events[-1], h11.EndOfMessage)


def test_one_chunk_may_arrive_in_small_parts() -> None:
    """The client did not choose them."""
    parser = LimitedParser()
    _events(parser, _HEAD + b"%x\r\n" % 5000)
    for _ in range(5000):
        assert not isinstance(_events(parser, b"a")[-1], h11.RemoteProtocolError)


def test_chunks_are_counted_for_each_request() -> None:
    """A connection may have any number of requests with a few chunks."""
    parser = LimitedParser()
    for _ in range(3):
        assert isinstance(_events(parser, _HEAD + _chunked(1, 900))[-1], h11.EndOfMessage)
        for event in (h11.Response(status_code=200, headers=[("content-length", "0")]), h11.EndOfMessage()):
            parser.send(event)
        parser.start_next_cycle()


_LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_number_of_header_lines_is_limited(end: bytes) -> None:
    """A header that arrives as a whole is not parsed first."""
    (error,) = _events(LimitedParser(), _LIVE[:-2] + b"a:\r\n" * 15_000 + end)
    assert isinstance(error, h11.RemoteProtocolError)
    assert error.error_status_hint == 431


@pytest.mark.parametrize("count", [198, 199])
def test_header_of_200_lines_is_accepted(count: int) -> None:
    """The request line is one of them."""
    events = _events(LimitedParser(), _LIVE[:-2] + b"a:\r\n" * count + b"\r\n")
    assert isinstance(events[0], h11.Request) is (count == 198)


def test_number_of_trailers_is_limited() -> None:
    """They wait in the parser until their end, like a header."""
    parser = LimitedParser()
    _events(parser, _HEAD)
    error = _events(parser, b"0\r\n" + b"a:\r\n" * 201)[-1]
    assert isinstance(error, h11.RemoteProtocolError)
    assert error.error_status_hint == 431


@pytest.mark.parametrize("count", [200, 201, 8000])
@pytest.mark.parametrize(
    "parts",
    [
        [b"0\r\n%s\r\n"],
        [b"1\r\na\r\n0\r\n%s\r\n"],
        [b"1\r\na\r\n00;a=b\r\n%s\r\n"],
        [b"1\r\na", b"\r\n0\r\n%s\r\n"],
        [b"1\r\na\r", b"\n0\r\n%s\r\n"],
        [b"1\r\na\r\n", b"0\r\n%s\r\n"],
        [b"1\r\na\r\n0", b"\r\n%s\r\n"],
        [b"1\r\na\r\n0\r\n", b"%s\r\n"],
        [b"1\r\na\r\n0\r\n", b"%s\r\n" + _LIVE * 300],
    ],
)
def test_number_of_whole_trailers_is_limited(parts: list[bytes], count: int) -> None:
    """They may arrive in one read with the last chunk. 8,000 of them take 33 ms to parse."""
    parser = LimitedParser()
    _events(parser, _HEAD)
    events = [_events(parser, part.replace(b"%s", b"a:\r\n" * count)) for part in parts]
    last = events[-1][-1]
    if count == 200:
        assert isinstance(last, h11.EndOfMessage)
        assert len(last.headers) == count
    else:
        assert isinstance(last, h11.RemoteProtocolError)
        assert last.error_status_hint == 431


@pytest.mark.parametrize("parts", [(b"0\r\n\r\n",), (b"0", b"\r\n\r\n"), (b"0\r\n", b"\r\n")])
def test_lines_after_a_body_are_no_trailers(parts: tuple[bytes, ...]) -> None:
    """Neither those of the next requests, nor those in a chunk that begins like the last one."""
    parser = LimitedParser()
    chunk = b"0\r\n" + b"a\n" * 300
    _events(parser, _HEAD + b"%x\r\n" % len(chunk))
    _events(parser, chunk + b"\r\n")
    for part in parts[:-1]:
        _events(parser, part)
    assert isinstance(_events(parser, parts[-1] + _LIVE * 100)[-1], h11.EndOfMessage)


def test_lines_are_counted_for_each_request() -> None:
    """Many requests may arrive at once."""
    assert isinstance(_events(LimitedParser(), _LIVE * 1000)[-1], h11.EndOfMessage)

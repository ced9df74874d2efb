"""Log lines for people: order and selection of the fields."""

from rerank_service.observability.console_lines import for_people

_LINE = {
    "request_id": "a",
    "protocol": "rest",
    "method": "POST",
    "call": "/v1/rerank",
    "dialect": "unified",
    "model": "small",
    "key": "",
    "documents": 0,
    "status": 200,
    "event": "request finished",
}


def test_line_of_a_request_begins_with_its_result() -> None:
    """Empty fields are left out, and zeros are not. The id is last."""
    assert list(for_people(None, "info", dict(_LINE))) == [
        "call",
        "status",
        "documents",
        "model",
        "event",
        "request_id",
    ]


def test_unusual_method_is_shown() -> None:
    """A look-up is a GET."""
    assert for_people(None, "info", _LINE | {"method": "GET"})["method"] == "GET"


def test_other_lines_keep_their_order() -> None:
    """They have a method only by chance."""
    line = {"grpc": "127.0.0.1:50051", "why": "", "method": "POST", "event": "ready"}
    assert list(for_people(None, "info", line)) == ["grpc", "method", "event"]

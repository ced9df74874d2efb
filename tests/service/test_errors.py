"""Errors: status codes, and the messages that callers get."""

import pytest
from grpc import StatusCode

from rerank_service.error_text import excerpt, one_line
from rerank_service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    DeadlineExceeded,
    ExtraMissing,
    HeadersTooLarge,
    InferenceFailed,
    InvalidRequest,
    MalformedHttp,
    ModelNotAllowed,
    NotReady,
    OutOfMemory,
    Overloaded,
    RateLimited,
    RequestError,
    TooLarge,
    Unauthenticated,
    UnknownModel,
    UnknownRoute,
    UnsupportedCoding,
)
from rerank_service.lifecycle.model_control_errors import (
    AdminKeyRequired,
    FolderNotAllowed,
    InCatalog,
    LoadConflict,
    LoadFailed,
    NameTaken,
    NoMemory,
)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (InvalidRequest("m"), StatusCode.INVALID_ARGUMENT, 400),
        (TooLarge("m"), StatusCode.INVALID_ARGUMENT, 400),
        (BodyTooLarge("m"), StatusCode.INVALID_ARGUMENT, 413),
        (BodyTooSlow("m"), StatusCode.INVALID_ARGUMENT, 408),
        (HeadersTooLarge("m"), StatusCode.INVALID_ARGUMENT, 431),
        (MalformedHttp("m", status=431), StatusCode.INVALID_ARGUMENT, 431),
        (UnsupportedCoding("m", field="f", accepted="gzip"), StatusCode.INVALID_ARGUMENT, 415),
        (UnknownRoute("m", status=404), StatusCode.INVALID_ARGUMENT, 404),
        (UnknownRoute("m", status=405), StatusCode.INVALID_ARGUMENT, 405),
        (Unauthenticated("m"), StatusCode.UNAUTHENTICATED, 401),
        (ModelNotAllowed("m"), StatusCode.PERMISSION_DENIED, 403),
        (UnknownModel("m"), StatusCode.NOT_FOUND, 404),
        (Overloaded("m", retry_after=2.0), StatusCode.RESOURCE_EXHAUSTED, 429),
        (RateLimited("m", retry_after=2.0), StatusCode.RESOURCE_EXHAUSTED, 429),
        (NotReady("m"), StatusCode.UNAVAILABLE, 503),
        (DeadlineExceeded("m"), StatusCode.DEADLINE_EXCEEDED, 504),
        (InferenceFailed("m"), StatusCode.INTERNAL, 500),
        (OutOfMemory("m"), StatusCode.INTERNAL, 500),
        (LoadFailed("m"), StatusCode.FAILED_PRECONDITION, 409),
        (NoMemory("m"), StatusCode.RESOURCE_EXHAUSTED, 429),
        (NameTaken("m"), StatusCode.ALREADY_EXISTS, 409),
        (InCatalog("m"), StatusCode.FAILED_PRECONDITION, 409),
        (LoadConflict("m"), StatusCode.ABORTED, 409),
        (FolderNotAllowed("m"), StatusCode.PERMISSION_DENIED, 403),
        (AdminKeyRequired("m"), StatusCode.PERMISSION_DENIED, 403),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RequestError) else None,
)
def test_each_request_error_has_a_grpc_code_and_an_http_status(
    error: RequestError, code: StatusCode, status: int
) -> None:
    """`str` returns the message."""
    assert (error.code, error.http_status, str(error)) == (code, status, "m")


def test_invalid_request_has_a_field_and_a_reason() -> None:
    """Both are for programs. The defaults state the kind of error."""
    for error, field, reason in (
        (InvalidRequest("m"), None, "invalid"),
        (InvalidRequest("m", field="top_n", reason="out_of_range"), "top_n", "out_of_range"),
        (TooLarge("m", field="documents"), "documents", "too_large"),
        (BodyTooLarge("m"), None, "too_large"),
        (UnknownRoute("m", status=404), None, "unknown_route"),
        (UnknownModel("m"), "model", "model_not_found"),
        (ModelNotAllowed("m"), "model", "model_not_allowed"),
        (Unauthenticated("m"), None, "invalid_api_key"),
        (Unauthenticated("m", reason="expired_api_key"), None, "expired_api_key"),
    ):
        assert (error.field, error.reason) == (field, reason)


def test_temporary_errors_carry_the_seconds_until_a_retry() -> None:
    """Overloaded and RateLimited have the seconds that they were created with, and different reasons."""
    assert Overloaded("m", retry_after=2.5).retry_after == 2.5
    assert RateLimited("m", retry_after=2.5).retry_after == 2.5
    assert (Overloaded.reason, RateLimited.reason) == ("overloaded", "rate_limited")
    assert NotReady("m").retry_after > 0


def test_missing_extra_is_named_with_the_package() -> None:
    """The message says what to install."""
    message = str(ExtraMissing("matplotlib", "bench"))
    assert "matplotlib" in message
    assert "[bench]" in message


def test_excerpt_is_short() -> None:
    """A short text stays unchanged; a long one ends with an ellipsis."""
    assert excerpt("a" * 100) == "a" * 100
    assert excerpt("a" * 101) == "a" * 100 + "…"


def test_message_in_one_line() -> None:
    """An error without a message gives its class."""
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(TimeoutError()) == "TimeoutError"

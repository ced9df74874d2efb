"""The cancellation token of a running batch."""

from rerank_service.scheduling.batch_cancellation import CancelToken


def test_callback_runs_when_the_token_is_cancelled() -> None:
    """Not when it is registered."""
    token, calls = CancelToken(), list[str]()
    token.on_cancel(lambda: calls.append("stopped"))
    assert (token.cancelled, calls) == (False, [])
    token.cancel()
    assert (token.cancelled, calls) == (True, ["stopped"])


def test_callback_of_a_cancelled_token_runs_at_once() -> None:
    """The event loop may cancel a batch before its lane starts to compute."""
    token, calls = CancelToken(), list[str]()
    token.cancel()
    token.on_cancel(lambda: calls.append("stopped"))
    assert calls == ["stopped"]

"""Responses of rerank.v1: size of messages."""

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.grpc.rerank_v1_responses import stream_responses_from
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import ModelVersion, Timing, Usage
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation


def test_partial_ranking_fits_the_default_message_size() -> None:
    """Worst case: every other document is unscored. The scored or the unscored ones alone do not fit one message."""
    count = 250_000
    board = Scoreboard(RerankRequest(query="q"), Activation.SIGMOID)
    for index in range(0, count, 2):
        board.add(Document(""), truncated=False)
        board.add(Document(""), truncated=False)
        board.record(index, 1.0)
    usage, timing = Usage(), Timing(queue=0, tokenize=0, inference=0, total=0)
    missing = board.missing(count + 5)
    version = ModelVersion(digest="d", provider="CPUExecutionProvider", precision="fp32")
    ranking = Ranking(
        model="m", version=version, order=board.order(), usage=usage, timing=timing, board=board, missing=missing
    )
    responses = list(stream_responses_from(ranking, "id"))
    assert max(response.ByteSize() for response in responses) < 1024 * 1024
    assert [response.last for response in responses] == [False] * (len(responses) - 1) + [True]
    assert all(response.ranking.partial for response in responses)
    assert all(response.ranking.model_version.digest == "d" for response in responses)
    whole = pb.RerankResponse()
    for response in responses:
        whole.MergeFrom(response.ranking)
    assert (len(whole.results), whole.received, whole.id) == (count // 2, count + 5, "id")
    unscored = [(run.start, run.end) for run in whole.unscored]
    assert unscored[:2] == [(1, 2), (3, 4)]
    assert (unscored[-1], len(unscored)) == ((count - 1, count + 5), count // 2)

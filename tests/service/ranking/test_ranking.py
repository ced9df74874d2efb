"""The ranking of a request."""

from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import ModelVersion, Timing, Usage
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import Activation


def test_ranking_yields_its_results_best_first() -> None:
    """Its length is the number of results. Documents and windows are those of the request."""
    board = Scoreboard(RerankRequest(query="q", top_n=2), Activation.SIGMOID)
    for index, logit in enumerate((0.5, 2.0, -1.0)):
        board.add(Document("text"), truncated=False)
        board.record(index, logit)
    timing = Timing(queue=0, tokenize=0, inference=0, total=0)
    version = ModelVersion(digest="", provider="CPUExecutionProvider", precision="fp32")
    ranking = Ranking(model="small", version=version, order=board.order(), usage=Usage(), timing=timing, board=board)
    assert [(result.index, result.logit) for result in ranking] == [(1, 2.0), (0, 0.5)]
    assert (len(ranking), ranking.documents, ranking.windows) == (2, 3, 3)

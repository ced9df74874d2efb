"""Score the parts of a job with a running server, as long as it has the same model, engine and reading of texts."""

from collections.abc import Callable, Iterator, Mapping

from rerank_service.tools.batch.job import Job, score_parts
from rerank_service.tools.batch.job_identity import check_server
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.part_store import Counts
from rerank_service.tools.batch.parts import Pairs, Part
from rerank_service.tools.batch.remote_scorer import RemoteScorer


class _Checked:
    """Scores pairs, after a check that the server accepts the options of the job. Without pairs, there is no check."""

    def __init__(self, scorer: RemoteScorer) -> None:
        self._scorer = scorer
        self._is_checked = False

    def submit(self, pairs: Pairs) -> Callable[[], PairScores]:
        """See `RemoteScorer.submit`. The first call raises what `RemoteScorer.check_options` raises."""
        if not self._is_checked:
            self._scorer.check_options()
            self._is_checked = True
        return self._scorer.submit(pairs)


def score_remotely(
    scorer: RemoteScorer, identity: Mapping[str, str], job: Job, finished: Mapping[int, Counts]
) -> Iterator[tuple[Part, PairScores]]:
    """Score the parts that are not finished, and yield them in their order.

    No part has scores of another model or engine: each response says what scored it. Responses of older servers, and
    those in JSON, do not. So the server is asked again before each part is yielded, too, which is enough if there is
    only one server at the address.

    Raises:
        OperatorError: the server has another model, engine or reading of texts than `identity`.
        RerankError, RestCallFailed: the server does not respond, or does not accept the options.
        NothingScored: the server scores nothing.
        SettingsInvalid: it has no model with the name any more.
    """
    scorer.accept_only(identity)
    for part, scores in score_parts(_Checked(scorer), job, finished):
        check_server(identity, scorer.identity(patient=True))
        yield part, scores

"""Score the parts of a job with a running server, as long as it has the same model and engine."""

from collections.abc import Iterator, Mapping

from rerank_service.errors import OperatorError
from rerank_service.tools.batch.job import Job, score_parts
from rerank_service.tools.batch.job_identity import WAYS_ON, changes
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.part_store import Counts
from rerank_service.tools.batch.parts import Part
from rerank_service.tools.batch.remote_scorer import RemoteScorer


def score_remotely(
    scorer: RemoteScorer, identity: Mapping[str, str], job: Job, finished: Mapping[int, Counts]
) -> Iterator[tuple[Part, PairScores]]:
    """Score the parts that are not finished, and yield them in their order.

    Before a part is yielded, the server is asked again for its model and engine: no part has scores of others.

    Raises:
        OperatorError: the server has another model or engine than `identity`.
        RerankError, RestCallFailed: the server does not respond.
        SettingsInvalid: it has no model with the name any more.
    """
    for part, scores in score_parts(scorer, job, finished):
        if changed := changes(identity, scorer.identity(patient=True)):
            raise OperatorError(
                f"the server has changed since the job began: {'; '.join(changed)}. Finished parts are kept: {WAYS_ON}"
            )
        yield part, scores

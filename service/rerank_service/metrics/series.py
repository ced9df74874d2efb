"""The series of a metric, by their labels. `labels` of prometheus-client takes 2 µs, and each request needs nine."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, ParamSpec, TypeVar

from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)
P = ParamSpec("P")


class Series(Generic[M]):
    """The series of one metric. Used on the event loop only, in place of the metric's `labels` and `remove`."""

    def __init__(self, metric: Callable[P, M], *args: P.args, **kwargs: P.kwargs) -> None:
        """`metric` is the class, such as `Counter`, and the others are its arguments."""
        self._metric = metric(*args, **kwargs)
        self._series: dict[tuple[object, ...], M] = {}

    def of(self, *labels: object) -> M:
        """Return the series with these values of the labels, in the order of their names. An absent one begins."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = self._metric.labels(*labels)
        return series

    @property
    def labels(self) -> Sequence[tuple[object, ...]]:
        """The values of the labels of all series."""
        return list(self._series)

    def remove(self, *labels: object) -> None:
        """Remove a series, if it is there."""
        self._series.pop(labels, None)
        with suppress(KeyError):
            self._metric.remove(*labels)

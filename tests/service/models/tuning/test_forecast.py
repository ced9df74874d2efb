"""The forecast of a full tuning, with a clock of the test."""

from rerank_service.models.tuning.forecast import Forecast, about


class _Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_forecast_follows_the_passes() -> None:
    """The first pass gives the time of all; each later one changes what is left. Skipped passes are not counted."""
    lines: list[str] = []
    clock = _Clock()
    forecast = Forecast(lines.append, {"speeds": 2, "rankings": 10, "settings": 3}, clock)
    forecast.stage("speeds", "speed of a")
    clock.seconds += 60
    assert forecast.counted(lambda: "measured")() == "measured"
    clock.seconds += 60
    forecast.passed()
    forecast.stage("settings", "lanes: 1, 2")
    clock.seconds += 60
    forecast.passed(3)
    forecast.passed()
    assert lines == [
        "speed of a",
        "the tuning takes about 15 minutes",
        "speed of a · about 14 minutes left",
        "speed of a · about 13 minutes left",
        "lanes: 1, 2 · about 3 minutes left",
        "lanes: 1, 2 · less than a minute left",
        "lanes: 1, 2 · less than a minute left",
    ]


def test_minutes_are_whole() -> None:
    """A forecast has no seconds."""
    assert [about(seconds) for seconds in (0, 29, 31, 89, 461)] == [
        "less than a minute",
        "less than a minute",
        "about 1 minute",
        "about 1 minute",
        "about 8 minutes",
    ]

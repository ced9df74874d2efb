"""The page of the benchmark on a GPU. Nothing is measured."""

from bench.gpu.page import page
from bench.gpu.results import GpuResult, LengthFigures
from bench.gpu.systems import AT_ITS_BEST
from bench.systems import BARE, SERVED, SERVED_REST


def test_page_compares_with_the_systems_that_ran() -> None:
    """A system that could not run has no figures, but a reason."""
    speeds = {SERVED.slug: 12_000.0, SERVED_REST.slug: 12_500.0, BARE.slug: 100_000.0, AT_ITS_BEST.slug: 6_000.0}
    seconds = {SERVED.slug: 0.0146, SERVED_REST.slug: 0.016, AT_ITS_BEST.slug: 0.0161}
    length = LengthFigures(tokens=40, documents_per_second=speeds, seconds=seconds, processors=2.8, batches={})
    result = GpuResult(
        shape="minilm-l6",
        ready_seconds=3.9,
        lengths=(length,),
        failed={"x": "no memory"},
    )
    text = page([result], "H200, 16 cores", documents=100, clients=32)
    assert text.startswith("# H200, 16 cores\n\nDocuments per second: 32 clients, 100 documents per request.")
    assert "| minilm-l6 | 40 | 12,000 | 12,500 | 100,000 | 6,000 | none | 2.00 | none | 0.12 | 2.8 |" in text
    assert "| minilm-l6 | 40 | 14.6 | 16.0 | 16.1 | none |" in text
    assert text.endswith("- minilm-l6: ready after 3.9 s\n\n- minilm-l6, x: no memory\n")

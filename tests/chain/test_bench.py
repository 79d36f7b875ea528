"""The measurement in small: what it measures gives right answers. Times are not looked at."""

from benchmarks import chain


def test_the_small_measurement_stores_what_it_should() -> None:
    result = chain.run(small=True)  # it ends at the first wrong answer
    assert result.ours.peak_mib > 0 and result.plain.peak_mib > 0 and result.times[0] > 0

"""The measurements in small: what they measure gives right answers. Times are not looked at."""

from types import ModuleType

import pytest

from benchmarks import metering, month, scraping


@pytest.mark.parametrize("benchmark", [metering, scraping], ids=["metering", "scraping"])
def test_the_small_measurement_stores_what_it_should(benchmark: ModuleType) -> None:
    result = benchmark.run(small=True)  # it ends at the first wrong answer
    assert result.ours.peak_mib > 0 and result.plain.peak_mib > 0 and result.times[0] > 0


def test_several_days_are_read_at_once_and_right() -> None:
    (result,) = month.run(small=True)
    assert result.ours.answer > 0

"""Usage by day as a small picture. Drawn here: no script, no style attributes, and colours from the page's sheet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from markupsafe import Markup, escape

from billing.core.period import Span
from billing.web.languages import Words

HEIGHT: Final = 100
WIDTH_OF_DAY: Final = 10
GAP: Final = 2
DAYS_MAX: Final = 400


@dataclass(frozen=True, slots=True)
class Chart:
    """`most` says in words what the eye sees; `axis` are the days below its left and right end."""

    title: str
    most: str
    svg: Markup
    axis: tuple[str, str]


def chart(words: Words, seconds: Mapping[date, int], period: Span) -> Chart | None:
    """A bar a day of the period, from zero to the largest. None where there is nothing to compare."""
    last = (period.end - timedelta(microseconds=1)).date()
    count = (last - period.start.date()).days + 1
    days = [period.start.date() + timedelta(days=number) for number in range(min(count, DAYS_MAX))]
    most = max((seconds.get(day, 0) for day in days), default=0)
    if len(days) < 2 or count > DAYS_MAX or not most:
        return None
    peak = next(day for day in days if seconds.get(day, 0) == most)
    told = words.say("at most %(hours)s on %(day)s", hours=words.hours(most), day=words.short_day(peak))
    title = words.say("GPU-hours by day")
    bars = "".join(_bar(words, number, day, seconds.get(day, 0), most) for number, day in enumerate(days))
    ends = (words.short_day(days[0]), words.short_day(days[-1]))
    return Chart(title, told, _svg(bars, len(days), f"{title}, {told}"), ends)


def _svg(bars: str, days: int, label: str) -> Markup:
    width = days * WIDTH_OF_DAY - GAP
    head = f'<svg class="bars" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {HEIGHT}"'
    return Markup(f'{head} preserveAspectRatio="none">{bars}</svg>')  # noqa: S704 (numbers, and what was escaped)


def _bar(words: Words, number: int, day: date, seconds: int, most: int) -> str:
    """A day without usage has a bar too: a thin one, and its title says zero."""
    height = max(1, -(-seconds * HEIGHT // most))
    kind = "" if seconds else ' class="none"'
    place = f'x="{number * WIDTH_OF_DAY}" y="{HEIGHT - height}" width="{WIDTH_OF_DAY - GAP}" height="{height}"'
    return f"<rect{kind} {place}><title>{escape(f'{words.short_day(day)}: {words.hours(seconds)}')}</title></rect>"

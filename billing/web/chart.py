"""Charts as inline SVG, without script: the numbers stand in a table beside them."""

from collections.abc import Sequence

from markupsafe import Markup, escape

HEIGHT = 100
STEP = 10


def bars(values: Sequence[int], titles: Sequence[str], title: str) -> Markup:
    """A bar for each value, from a common ground. It fills its box; `titles` are what each bar tells of itself."""
    top = max([*values, 1])
    parts = [
        f'<rect class="bar-a" x="{n * STEP + 1}" y="{HEIGHT - _height(value, top)}" width="{STEP - 2}"'
        f' height="{_height(value, top)}"><title>{escape(told)}</title></rect>'
        for n, (value, told) in enumerate(zip(values, titles, strict=True))
    ]
    width = max(len(values), 1) * STEP
    return Markup(  # noqa: S704 (numbers, and text that was escaped)
        f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {HEIGHT}"'
        f' preserveAspectRatio="none">{"".join(parts)}</svg>'
    )


def _height(value: int, top: int) -> int:
    """What is not nothing can be seen."""
    return 0 if value <= 0 else max(1, value * HEIGHT // top)

"""QR codes as inline SVG: dark on light with a quiet zone, whatever the page's colours are."""

from functools import lru_cache

import segno
from markupsafe import Markup


@lru_cache(maxsize=512)  # to make one takes ten times as long as all the rest of the page
def qr_svg(text: str, title: str) -> Markup:
    """The picture of a text; it scales with its box. `title` is for those who do not see it."""
    code = segno.make(text, error="m", micro=False)
    svg = code.svg_inline(border=4, omitsize=True, svgclass="qr", lineclass=None, light="#fff", title=title)
    return Markup(svg.replace("<svg ", '<svg role="img" ', 1))  # noqa: S704 (segno escapes the title; the rest is digits)

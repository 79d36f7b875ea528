"""QR codes as SVG for paper: black on white with a quiet zone."""

import segno


def qr_svg(text: str) -> str:
    """The picture of a text. It holds nothing but one path, whatever the text."""
    svg: str = segno.make(text, error="m", micro=False).svg_inline(border=2, omitsize=True)
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) if "xmlns" not in svg else svg

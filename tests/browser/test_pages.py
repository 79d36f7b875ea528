"""What holds for every page, at every width, in light and dark."""

import pytest

from tests.browser.conftest import Open
from tests.browser.gallery import Gallery
from tests.browser.pages import PAGES, Shown

PHONE = 375
WIDTHS = {PHONE: 812, 768: 1024, 1440: 900}
"""A phone, a tablet, a desk."""


@pytest.mark.parametrize("shown_page", PAGES, ids=lambda one: one.name)
def test_a_page_is_whole_at_every_width_and_in_both_colours(shown: Gallery, open_tab: Open, shown_page: Shown) -> None:
    tab = open_tab(shown.base)
    shown_page.enter(tab, shown)
    tab.requests.clear()
    for width, height in WIDTHS.items():
        tab.page.set_viewport_size({"width": width, "height": height})
        tab.open(shown_page.path(shown))
        tab.page.emulate_media(color_scheme="light")
        assert tab.overflow() <= 0, f"{width} px wide, it scrolls sideways"
        if shown_page.long and width != PHONE:
            continue
        assert tab.findings() == [], f"{width} px, light"
        tab.page.emulate_media(color_scheme="dark")
        assert tab.overflow() <= 0, f"{width} px wide and dark, it scrolls sideways"
        assert tab.findings("color-contrast", "link-in-text-block") == [], f"{width} px, dark"
    told = [one for one in tab.errors if not (shown_page.broken and "status of 4" in one)]
    assert told == []
    assert tab.foreign == []

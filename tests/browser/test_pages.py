"""What holds for every page, at every width, in light and dark."""

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.desks import Desks
from tests.browser.gallery import Gallery
from tests.browser.pages import BEHIND, PAGES, Behind, Shown
from tests.browser.serving import Tab

PHONE = 375
WIDTHS = {PHONE: 812, 768: 1024, 1440: 900}
"""A phone, a tablet, a desk."""


def fits(tab: Tab, width: int, colours: Literal["light", "dark"]) -> None:
    tab.page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    tab.page.emulate_media(color_scheme=colours)
    assert tab.overflow() <= 0, f"{width} px wide and {colours}, it scrolls sideways"


@pytest.mark.parametrize("shown_page", PAGES, ids=lambda one: one.name)
def test_a_page_is_whole_at_every_width_and_in_both_colours(shown: Gallery, open_tab: Open, shown_page: Shown) -> None:
    tab = open_tab(shown.base)
    for width, height in WIDTHS.items():
        tab.page.set_viewport_size({"width": width, "height": height})
        tab.open(shown_page.path(shown))
        fits(tab, width, "light")
        if shown_page.long and width != PHONE:
            continue
        assert tab.findings() == [], f"{width} px, light"
        fits(tab, width, "dark")
        assert tab.findings("color-contrast", "link-in-text-block") == [], f"{width} px, dark"
    assert faults(tab, shown_page.broken) == []


@pytest.mark.parametrize("one", BEHIND, ids=lambda one: one.name)
def test_a_page_behind_sign_in_is_whole_too(behind: Desks, open_tab: Open, one: Behind) -> None:
    """It is loaded once, and looked through by axe on the phone; its window is drawn wider then."""
    tab = open_tab(behind.base)
    if one.role is not None:
        behind.enter(tab, one.role)
    reach(tab, one)
    fits(tab, PHONE, "light")
    assert tab.findings() == []
    fits(tab, PHONE, "dark")
    assert tab.findings("color-contrast", "link-in-text-block") == [], "dark"
    for width in WIDTHS:
        for colours in ("light", "dark"):
            fits(tab, width, colours)
        assert width == PHONE or tab.overflow(".nav") <= 0, f"{width} px wide, a link at the top is out of sight"
    assert faults(tab, one.broken) == []


def reach(tab: Tab, one: Behind) -> None:
    """Open the page as a person gets there. It must be the page that was meant: with a heading, and no trouble unless on purpose."""
    tab.open(one.path)
    page = tab.page
    for link in one.through:
        listed, anywhere = (page.locator(f'main {place}a[href*="{link}"]') for place in ("tbody ", ""))
        before = page.url
        (listed if listed.count() else anywhere).first.click()
        expect(page).not_to_have_url(before)
    for name, value in one.fields:
        page.locator(f'form.change [name="{name}"]').first.fill(value)
    if one.fields:
        page.locator("main form.change button").last.click()
    page.wait_for_load_state()
    assert page.locator("h1").count() == 1


def faults(tab: Tab, broken: bool) -> list[str]:
    told = [one for one in tab.errors if not (broken and "status of 4" in one)]
    return told + tab.foreign

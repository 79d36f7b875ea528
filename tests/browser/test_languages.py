"""The payer's page in other languages: every state on a phone, and a language that runs from right to left."""

from pathlib import Path

import pytest

from billing.web.languages import ENGLISH, Languages
from billing.web.render import Pages
from tests.browser.conftest import Open
from tests.browser.gallery import Gallery
from tests.house import messages

STATES = ("waiting", "rich", "noted", "seen", "part", "paid", "over", "wrong", "late", "void", "credit")
FRENCH = Languages().choose("fr", "").words
PLAIN = {
    one.id
    for one in messages.extracted()
    if isinstance(one.id, str) and " " in one.id and "%(" not in one.id and FRENCH.say(one.id) != one.id
}


def test_every_state_is_french_and_fits_a_phone(shown: Gallery, open_tab: Open) -> None:
    tab = open_tab(shown.base)
    for state in STATES:
        tab.open(f"{shown.pay(state)}?lang=fr")
        assert tab.overflow() <= 0, f"{state}: it scrolls sideways"
        assert tab.findings() == [], state
        text = tab.page.locator("main").inner_text()
        assert not [one for one in PLAIN if one in text], f"{state} has English in it"
    assert tab.errors == []


def test_a_language_is_chosen_by_a_link_and_kept(shown: Gallery, open_tab: Open) -> None:
    tab = open_tab(shown.base)
    tab.open(shown.pay("waiting"))
    tab.page.get_by_role("link", name="Français").click()
    assert tab.page.locator("html").get_attribute("lang") == "fr"
    tab.page.locator(".choices a").first.click()
    assert tab.page.locator("html").get_attribute("lang") == "fr"
    assert tab.page.locator("#copy-amount").get_attribute("aria-label") == FRENCH.say("Copy the amount")


@pytest.fixture
def mirrored(shown: Gallery, tmp_path: Path) -> Gallery:
    """The same pages with a language from right to left, whose sentences are French ones."""
    folder = tmp_path / "ar" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (french,) = (one for one in messages.catalogues().values() if str(one.locale) == "fr")
    (folder / "pages.po").write_bytes(messages.written(french).replace(b'"Language: fr', b'"Language: ar'))
    shown.api.state.wired.pages = Pages(Languages(tmp_path))
    return shown


def test_a_page_from_right_to_left_does_not_scroll_sideways(
    mirrored: Gallery, open_tab: Open, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: setattr(mirrored.api.state.wired, "pages", Pages()))
    tab = open_tab(mirrored.base)
    for state in ("waiting", "rich", "paid"):
        for width in (375, 1440):
            tab.page.set_viewport_size({"width": width, "height": 812})
            tab.open(f"{mirrored.pay(state)}?lang=ar")
            assert tab.page.locator("html").get_attribute("dir") == "rtl"
            for place in tab.page.locator(".fours, .threes, code, .axis").all():
                told = place.evaluate("one => getComputedStyle(one).direction")
                assert told == "ltr", "an address, an amount to copy or a chart is never mirrored"
            assert tab.overflow() <= 0, f"{state}, {width} px: it scrolls sideways"
    assert ENGLISH.name in tab.page.locator(".languages").inner_text()

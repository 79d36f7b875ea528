"""Every page that people open. A new page joins with one line: what it shows, where it is, and how one gets in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.browser.gallery import Gallery
from tests.browser.serving import Tab


def _anybody(_tab: Tab, _gallery: Gallery) -> None:
    """Nobody signs in for this page."""


@dataclass(frozen=True, slots=True)
class Shown:
    """`enter` is done first in the fresh tab: signing in. `broken` is for a page whose answer is an error on purpose,
    `long` for one so long that it is only looked through on the phone."""

    name: str
    path: Callable[[Gallery], str]
    enter: Callable[[Tab, Gallery], None] = _anybody
    broken: bool = False
    long: bool = False


PAGES: Final = (
    Shown("an invoice to pay", lambda made: made.pay("waiting")),
    Shown("an invoice with groups, packages, a fee, a discount, tax and credit", lambda made: made.pay("rich")),
    Shown("an invoice that credit was taken off", lambda made: made.pay("noted")),
    Shown("a payment that was seen", lambda made: made.pay("seen")),
    Shown("a part payment", lambda made: made.pay("part")),
    Shown("a receipt", lambda made: made.pay("paid")),
    Shown("a receipt with a credit", lambda made: made.pay("over")),
    Shown("a wrong token", lambda made: made.pay("wrong")),
    Shown("an overdue invoice", lambda made: made.pay("late")),
    Shown("a void invoice", lambda made: made.pay("void")),
    Shown("an invoice that credit covers", lambda made: made.pay("credit")),
    Shown("no invoice", lambda made: "/pay/" + "x" * 43, broken=True),
    Shown("the routes of the API", lambda made: "/api/docs", long=True),
)

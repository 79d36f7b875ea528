"""The languages of a payer's pages: sentences from catalogues, figures and times as each language writes them.

A message's English text is its name, so English needs no catalogue and a sentence that nobody translated is still one. Words are
handed in, never looked up from where somebody stands: two requests in two languages never meet. What is to be copied, paid or
verified is plain in every language: it does not come through here."""

import gettext
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Final

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import parse_pattern

from billing.core.money import Asset, decimal_text
from billing.core.period import HOUR, parse_time
from billing.invoicing.document import CreditNoteDocument, InvoiceDocument
from billing.papers import words as english

LOCALES: Final = Path(__file__).parent / "locale"
HEADER_MAX: Final = 500
"""So much of an `Accept-Language` is looked at; a browser sends far less."""

_EXACT: Final = Context(prec=400)
_NBSP: Final = "\u00a0"
_WISH: Final = re.compile(r"([A-Za-z]{2,8}|\*)(?:-[A-Za-z0-9]{1,8})*(?:;q=([01](?:\.\d{0,3})?))?")


class Words:
    """English, and what every language offers."""

    code = "en"
    direction = "ltr"
    name = "English"

    fours = staticmethod(english.fours)
    threes = staticmethod(english.threes)

    def __init__(self, catalogue: gettext.NullTranslations | None = None) -> None:
        self.catalogue = catalogue or gettext.NullTranslations()

    def say(self, message: str, **values: object) -> str:
        """A sentence; `%(name)s` in it becomes the value of that name."""
        said = self.catalogue.gettext(message)
        return said % values if values else said

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        """A sentence about so many; `%(number)s` is the number."""
        return self.catalogue.ngettext(one, many, number) % {"number": number, **values}

    def number(self, text: str) -> str:
        """A decimal string with all its digits: `1,234.50`."""
        return english.thousands(text)

    def money(self, units: int, asset: Asset) -> str:
        return english.money(units, asset)

    def percent(self, share: str) -> str:
        return english.percent(share)

    def tax_rate(self, share: str) -> str:
        return english.tax_rate(share)

    def day(self, at: datetime | str) -> str:
        return english.day(at)

    def short_day(self, at: date) -> str:
        return english.short_day(at)

    def moment(self, at: datetime | str) -> str:
        return english.moment(at)

    def month(self, at: datetime) -> str:
        return english.month_name(at)

    def amount(self, text: str) -> str:
        return self.number(text)

    def signed(self, text: str) -> str:
        """With a true minus."""
        return f"−{self.number(text[1:])}" if text.startswith("-") else self.number(text)

    def price(self, text: str) -> str:
        """With two decimals at least."""
        whole, _, fraction = text.partition(".")
        return self.number(f"{whole}.{fraction.ljust(2, '0')}")

    def rate(self, text: str) -> str:
        return self.number(english.rate(text))

    def hours(self, seconds: int) -> str:
        return self.number(english.hours(seconds).replace(",", ""))

    def period(self, start: str, end: str) -> str:
        """A calendar month by its name, else both ends."""
        return self.month(parse_time(start)) if english.is_month(start, end) else self.span(start, end)

    def span(self, start: str, end: str) -> str:
        return self.say(
            "%(start)s to %(end)s",
            start=self.moment(start).removesuffix(f"{_NBSP}UTC").removesuffix(" UTC"),
            end=self.moment(end),
        )

    def duration(self, seconds: int) -> str:
        """About how long."""
        if seconds >= 2 * HOUR or seconds == HOUR:
            return self.count("%(number)s hour", "%(number)s hours", -(-seconds // HOUR))
        if seconds >= 120 or seconds == 60:
            return self.count("%(number)s minute", "%(number)s minutes", -(-seconds // 60))
        return self.count("%(number)s second", "%(number)s seconds", seconds)

    def in_tax_currency(self, document: InvoiceDocument | CreditNoteDocument) -> str:
        """Tax and total once more, in the currency of the tax; empty when the document does not tell them."""
        other = document.tax_currency
        if other is None:
            return ""
        return self.say(
            "In %(code)s: tax %(tax)s, total %(total)s; 1 %(currency)s = %(rate)s %(code)s (%(source)s, %(day)s).",
            code=other.code,
            tax=self.number(other.tax),
            total=self.number(other.total),
            currency=document.currency.code,
            rate=self.number(other.rate),
            source=other.source,
            day=self.day(other.date + "T00:00:00Z"),
        )


class Translated(Words):
    """A language with a catalogue; figures and times are written as its locale writes them."""

    def __init__(self, code: str, catalogue: gettext.NullTranslations) -> None:
        super().__init__(catalogue)
        self._locale = Locale.parse(code, sep="-")
        self.code = code
        self.direction = self._locale.text_direction
        self.name = (self._locale.get_language_name(self._locale) or code).capitalize()

    def number(self, text: str) -> str:
        value = Decimal(text)
        digits = len(text.partition(".")[2])
        pattern = parse_pattern(self._locale.decimal_formats[None].pattern)
        pattern.frac_prec = (digits, digits)
        with localcontext(_EXACT):
            return str(pattern.apply(value, self._locale))

    def money(self, units: int, asset: Asset) -> str:
        return f"{self.number(decimal_text(units, asset.exponent))}{_NBSP}{asset.code}"

    def percent(self, share: str) -> str:
        return self._percent(english.percent(share))

    def tax_rate(self, share: str) -> str:
        return self._percent(english.tax_rate(share))

    def _percent(self, text: str) -> str:
        return f"{self.number(text.removesuffix(' %'))}{_NBSP}%"

    def day(self, at: datetime | str) -> str:
        return format_date(_time(at), "long", locale=self._locale)

    def short_day(self, at: date) -> str:
        return format_skeleton("MMMd", at, locale=self._locale)

    def moment(self, at: datetime | str) -> str:
        at = _time(at)
        clock = f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
        return f"{format_date(at, 'medium', locale=self._locale)}, {clock}{_NBSP}UTC"

    def month(self, at: datetime) -> str:
        return format_skeleton("yMMMM", at, locale=self._locale)


ENGLISH: Final = Words()


@dataclass(frozen=True, slots=True)
class Spoken:
    """The words of an answer. `asked`: the address names the language, so links and what a page asks for keep it."""

    words: Words
    asked: bool = False

    @property
    def query(self) -> str:
        """To put behind an address."""
        return f"?lang={self.words.code}" if self.asked else ""


class Languages:
    """Every language there is a catalogue for, and English. Catalogues are read once."""

    def __init__(self, folder: Path = LOCALES) -> None:
        codes = sorted(path.parts[-3] for path in folder.glob("*/LC_MESSAGES/pages.po"))
        found: list[Words] = [ENGLISH, *(Translated(code, catalogue(folder, code)) for code in codes)]
        self._all: Mapping[str, Words] = {one.code: one for one in found}

    def __iter__(self) -> Iterator[Words]:
        return iter(self._all.values())

    def choose(self, asked: str, header: str) -> Spoken:
        """What the address asks for, else what the reader's browser likes best, else English. What is malformed is not heard."""
        if asked in self._all:
            return Spoken(self._all[asked], asked=True)
        return Spoken(next((self._all[code] for code in wishes(header) if code in self._all), ENGLISH))


def wishes(header: str) -> list[str]:
    """The languages of an `Accept-Language`, best liked first."""
    found: list[tuple[Decimal, str]] = []
    for part in header[:HEADER_MAX].split(","):
        wish = _WISH.fullmatch(re.sub(r"\s+", "", part))
        if wish is None:
            continue
        quality = Decimal(wish[2] or 1)
        if 0 < quality <= 1:
            found.append((quality, "en" if wish[1] == "*" else wish[1].lower()))
    return [code for _, code in sorted(found, key=lambda one: -one[0])]


def catalogue(folder: Path, code: str) -> gettext.NullTranslations:
    """The catalogue of a language, ready to be asked."""
    with (folder / code / "LC_MESSAGES" / "pages.po").open("rb") as source:
        messages = read_po(source, locale=code, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def marked(message: str) -> str:
    """A sentence that is said later: so that it gets into the catalogues."""
    return message


def _time(at: datetime | str) -> datetime:
    return parse_time(at) if isinstance(at, str) else at

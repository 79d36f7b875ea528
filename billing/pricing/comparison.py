"""What differs between two price books."""

from collections.abc import Mapping
from dataclasses import dataclass

from billing.core.period import Span
from billing.pricing.agreement import Agreement
from billing.pricing.pricebook import PriceBook
from billing.pricing.tariff import Tariff


@dataclass(frozen=True, slots=True)
class Difference:
    """A price or an agreement that one book has and the other has not, or not so. `tenant` is empty for everybody."""

    code: str
    tenant: str
    span: Span
    before: Tariff | Agreement | None
    after: Tariff | Agreement | None


def differences(before: PriceBook, after: PriceBook) -> list[Difference]:
    """By code, tenant and time; a span that ends elsewhere is one that goes and one that comes."""
    old, new = _terms(before), _terms(after)
    return [
        Difference(*key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if old.get(key) != new.get(key)
    ]


def renamed(before: PriceBook, after: PriceBook) -> list[tuple[str, str, str]]:
    """(code, title before, title after) of what has another title; empty where the code is not sold."""
    old, new = ({sku.code: sku.title for sku in book.sku} for book in (before, after))
    return [
        (code, old.get(code, ""), new.get(code, ""))
        for code in sorted({*old, *new})
        if old.get(code) != new.get(code)
    ]  # fmt: skip


def _terms(book: PriceBook) -> Mapping[tuple[str, str, Span], Tariff | Agreement]:
    prices: dict[tuple[str, str, Span], Tariff | Agreement] = {
        (t.sku, t.tenant, t.span): t.tariff for t in book.terms()
    }
    return {**prices, **{(one.code, tenant, one.span): one for one, tenant in book.agreements()}}

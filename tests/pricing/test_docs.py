"""The figures of docs/pricing.md are worked out from its own examples."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from billing.core.money import Asset, decimal_text
from billing.core.period import HOUR, month
from billing.pricing.agreement import Agreement, AgreementKind, Invoiced, lines
from billing.pricing.pricebook import BookAgreement, BookPrice, _agreement
from billing.pricing.rating import LineKey, RatedLine, Share
from billing.pricing.tariff import price_of, split

USD = Asset("USD", 2)
OCTOBER = month(2026, 10)
PAGE = (Path(__file__).parents[2] / "docs" / "pricing.md").read_text()


def section(title: str) -> tuple[str, str]:
    """(the section's TOML, its bold figure)."""
    found = re.search(rf"^## {title}.*?$(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    toml, figure = re.search(r"```toml\n(.*?)```", found[1], re.DOTALL), re.search(r"\*\*(.*?)\*\*", found[1])
    assert toml is not None and figure is not None
    return toml[1], figure[1]


@pytest.mark.parametrize("title", ["Flat", "Graduated", "Volume", "Package"])
def test_a_models_example_costs_what_the_page_says(title: str) -> None:
    toml, figure = section(title)
    read = tomllib.loads(toml)
    price = read["sku"]["price"][0] if "sku" in read else {"from": OCTOBER.start, **read}
    tariff = BookPrice.model_validate(price).tariff()
    parts = split(tariff, Decimal(1200 * HOUR), tariff.placeholder)
    cost = sum(price_of(tariff, part.quantity, part.unit_price, USD) for part in parts)
    assert f"{Decimal(decimal_text(cost, 2)):,}" == figure


def agreement(kind: AgreementKind, title: str) -> tuple[Agreement, str]:
    toml, figure = section(title)
    one = BookAgreement.model_validate(tomllib.loads(toml)[kind.value][0])
    return _agreement(kind, one, USD), figure


def usage(units: int) -> list[RatedLine]:
    return [RatedLine(LineKey.of(1, "h100", OCTOBER, Decimal("2.5")), OCTOBER, HOUR, units, [Share(1, HOUR, units)])]


@pytest.mark.parametrize(
    ("kind", "title", "units"),
    [
        (AgreementKind.FEE, "Fees", 0),
        (AgreementKind.DISCOUNT, "Discounts", 300_000),
        (AgreementKind.MINIMUM, "Minimums", 255_000),
    ],
)
def test_an_agreements_example_costs_what_the_page_says(kind: AgreementKind, title: str, units: int) -> None:
    one, figure = agreement(kind, title)
    (line,) = lines([one], usage(units), Invoiced(1, OCTOBER, OCTOBER))
    assert f"{Decimal(decimal_text(line.amount, 2)):,}" == figure

"""Prices of other kinds, agreements, spot rates and billing periods at the command line, as people type them."""

from pathlib import Path

import pytest

from tests.cli.scene import BOOK, Site


def test_agreements_spot_rates_and_periods(branch: Site, tmp_path: Path) -> None:
    book, since = tmp_path / "book.toml", f"{branch.month.end:%Y-%m-%d}"
    agreed = f"""
[[sku]]
code = "spot"
title = "Spot B200"
models = ["NVIDIA B200"]
[[sku.price]]
from = {since}
spot = true
[[fee]]
code = "rack"
title = "Reserved rack"
tenant = "acme"
amount = "100.00"
from = {since}
[[discount]]
code = "launch"
title = "Launch discount"
percent = "5"
from = {since}
"""
    book.write_text(BOOK + agreed)
    assert "rack for acme" in branch("price", "check", book).ok().out
    branch("price", "apply", book).ok()
    rows = branch("price", "agreements", "--json").json()
    assert [(row["code"], row["kind"], row["tenant"]) for row in rows] == [
        ("launch", "discount", None),
        ("rack", "fee", "acme"),
    ]
    assert "Launch discount" in branch("price", "agreements").ok().out
    rates = tmp_path / "rates.csv"
    rates.write_text(f"from,per_hour\n{since}T00:00:00Z,1.10\n{since}T01:00:00Z,1.20\n")
    assert branch("price", "spot", "spot", rates).ok().out == "2 new rates of spot\n"
    assert branch("price", "spot", "spot", rates).ok().out == "0 new rates of spot\n"
    rates.write_text(f"from,per_hour\n{since}T00:00:00Z,9.99\n")
    refused = branch("price", "spot", "spot", rates)
    assert refused.code == 1 and "was offered at 1.1" in refused.err
    told = branch(
        "tenant", "cycle", "acme", "--every", "week", "--timezone", "Australia/Brisbane", "--threshold", "500.00"
    )
    assert told.ok().out == "tenant acme is invoiced weekly from day 1, Australia/Brisbane\n"
    assert "weekly from day 1" in branch("tenant", "show", "acme").ok().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--every", "year"), "'year' is no period"),
        (("--every", "month", "--anchor", "31"), "cannot begin on day 31"),
        (("--timezone", "Mars/Olympus"), "no time zone"),
        (("--threshold", "-5"), "a threshold is an amount above zero"),
        (("--threshold", "5.001"), "more decimals"),
    ],
)
def test_a_period_that_cannot_be_is_refused(site: Site, arguments: tuple[str, ...], words: str) -> None:
    refused = site("tenant", "cycle", "acme", *arguments)
    assert refused.code == 2 and words in refused.err and "Traceback" not in refused.err

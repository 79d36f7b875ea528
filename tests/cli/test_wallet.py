"""What `wallet show` tells of generations and the money on their addresses."""

from collections import Counter
from decimal import Decimal

from tests.cli.scene import Site


def test_every_generation_is_told_with_what_lies_on_its_addresses(site: Site) -> None:
    pin = site("wallet", "pin", "--json").json()["pin"]
    generation = next(one for one in site("wallet", "show", "--json").json()["generations"] if one["pin"] == pin)
    listed = site("invoice", "list", "--json").json()
    assert generation["invoices"] == len([one for one in listed if one["address"]]) > 0
    assert generation["accepted_on"] == ["anvil"]
    paid: Counter[str] = Counter()
    for one in site("payment", "list", "--json").json():
        if one["status"] == "final":
            paid[one["token"]] += Decimal(one["amount"])  # type: ignore[assignment]
    assert sorted(generation["unflushed"]) == sorted(f"{units} {token} on anvil" for token, units in paid.items())
    assert len(paid) == 2 and generation["in_treasury"] == []
    assert "USDC on anvil" in " ".join(site("wallet", "show").ok().out.split())

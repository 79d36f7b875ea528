"""What an owner of GPUs sees: its own, and nobody else's."""

import pytest

from billing.core.onchain import Address, checksum
from billing.core.period import FOREVER, Span
from billing.owners.registrar import Wanted
from billing.owners.share import Owner, parse_parts
from billing.tenants.keys import KeyRole
from tests.factories import OCTOBER
from tests.web.browser import browser
from tests.web.scene import Scene

PAGES = ("/owner", "/owner/statements?month=2026-11", "/owner/payouts")


@pytest.fixture
def owned(scene: Scene) -> Scene:
    """north owns half of acme's GPU, south all of beta's; both invoices are paid and settled."""
    first, second = scene.invoiced("acme", "beta", hours=10)
    for slug, fee, part, gpu in (("north", 1000, "1/2", "GPU-acme"), ("south", 0, "1", "GPU-beta")):
        scene.app.owner_registrar.add(Owner(slug, f"{slug.title()} Compute"), fee_basis_points=fee, actor="test")
        wanted = Wanted(slug, parse_parts(part), Span(OCTOBER, FOREVER), (), (gpu,))
        scene.app.owner_registrar.share([wanted], actor="test")
        address = Address("0x" + ("1" if slug == "north" else "2") * 40)
        scene.app.payer.propose(slug, 31337, address, reason="told", actor="cli:secret-person")
    for invoice in (first, second):
        scene.pay(invoice, 20_000_000)
    scene.mine(12)
    scene.app.settler.settle(everything=True, actor="test")
    return scene


def test_an_owner_sees_its_gpus_what_they_brought_in_and_its_fee(owned: Scene) -> None:
    north = browser(owned.app, KeyRole.OWNER, owner="north")
    overview = north.text("/owner")
    assert "GPU-acme" in overview and "1/2" in overview and "10 %" in overview and "9.00 USD" in overview
    assert checksum(Address("0x" + "1" * 40)) in overview and "secret-person" not in overview
    statement = north.text("/owner/statements?month=2026-11")
    assert all(f">{amount}<" in statement for amount in ("10.00", "1.00", "9.00")), (
        "half of 20.00, a tenth of it, the rest"
    )
    for kind, media_type in (("csv", "text/csv"), ("json", "application/json"), ("xlsx", "application/vnd")):
        file = north.get(f"/owner/statement-file?month=2026-11&format={kind}")
        assert file.status_code == 200 and file.headers["Content-Type"].startswith(media_type)
        assert f'filename="statement-north-2026-11.{kind}"' in file.headers["Content-Disposition"]
    assert north.get("/home").headers["Location"] == "/owner"


def test_an_owner_sees_nothing_of_another(owned: Scene) -> None:
    north = browser(owned.app, KeyRole.OWNER, owner="north")
    for path in (*PAGES, "/owner/statement-file?month=2026-11"):
        page = north.text(path).lower()
        assert not [word for word in ("south", "gpu-beta", "2" * 40, "20.00", "beta", "inv-") if word in page], path


@pytest.mark.parametrize("month", ["2026-13", "0000-01", "x", "9999-12", "2026-10-01"])
def test_what_is_no_month_is_said_so(owned: Scene, month: str) -> None:
    north = browser(owned.app, KeyRole.OWNER, owner="north")
    for path in ("/owner/statements", "/owner/statement-file"):
        answer = north.get(f"{path}?month={month}")
        assert answer.status_code in (200, 400, 422) and "Traceback" not in answer.text, path
    assert browser(owned.app, KeyRole.TENANT, tenant="acme").get(f"/portal/usage?month={month}").status_code in (
        200,
        400,
        422,
    )

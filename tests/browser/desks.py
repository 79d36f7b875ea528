"""One application with something on every page behind sign-in: three days of a fleet with gaps, its invoices in several states,
what was paid, what waits for a person, owners, keys, and a closed month."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import expect
from sqlalchemy import text

from billing.access.login import Holder
from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.core.onchain import Address
from billing.core.period import FOREVER, Span
from billing.fleet.gpu import DeviceKey
from billing.invoicing.goodwill import Wish
from billing.invoicing.granter import Gift
from billing.owners.registrar import Wanted
from billing.owners.share import Owner, parse_parts
from billing.tenants.keys import KeyRole
from billing.tenants.tenant import Attribution, Tenant
from tests.browser.serving import Tab
from tests.factories import NO_EXCLUSIONS, OCTOBER, ScriptedSource, at, collector, second
from tests.web.client import WATCHED, application
from tests.web.scene import CHAIN, Scene
from tests.world import BOOK, PERIOD

DOLLAR: Final = 10**6
HOURS: Final = 72
LET: Final = ("acme", "beta", "gamma", "delta", "store", "twice", "zeta")
"""Tenants, each with a GPU of its own. acme pays a part and resells, zeta pays too much, beta and twice what is void, store in a
wrong token; gamma gets a credit note, delta is late."""
HOLDERS: Final = {
    KeyRole.TENANT: Holder("Tia", KeyRole.TENANT, "acme", ""),
    KeyRole.OWNER: Holder("Olaf", KeyRole.OWNER, "", "north"),
    KeyRole.FINANCE: Holder("Ada", KeyRole.FINANCE, "", ""),
    KeyRole.OPERATOR: Holder("Bob", KeyRole.OPERATOR, "", ""),
}


@dataclass(repr=False)
class Desks:
    """`base` is where it is served. `cookies` are those of the sessions that were opened so far."""

    app: App
    base: str = ""
    cookies: dict[KeyRole, Any] = field(default_factory=dict)

    def link(self, role: KeyRole) -> str:
        """The path of a link that lets one in."""
        return "/login/" + self.app.doorkeeper.issue(HOLDERS[role], minutes=60, actor="test").rpartition("/")[2]

    def enter(self, tab: Tab, role: KeyRole) -> None:
        """Sign in, the first time through the door."""
        if role in self.cookies:
            tab.page.context.add_cookies(self.cookies[role])
            return
        tab.open(self.link(role))
        tab.page.get_by_role("button", name="Sign in").click()
        expect(tab.page.get_by_role("button", name="Sign out")).to_be_visible()
        self.cookies[role] = tab.page.context.cookies()


@contextmanager
def desks(database_url: str, folder: Path) -> Iterator[Desks]:
    clock = ManualClock(at(24, day=31))
    mail = {"host": "127.0.0.1", "sender": "billing@pay.example"}
    app = application(database_url, folder, clock, mail=mail, issuer={"name": "Brisbane GPU Cloud Pty Ltd"})
    scene = Scene(app, clock)
    try:
        _meter(scene)
        _own(app)
        _bill(scene)
        _hand_out(app, scene)
        yield Desks(app)
    finally:
        app.close()


def _meter(scene: Scene) -> None:
    """The exporter is away for four hours of the second day, and acme's GPU for two of the third."""
    app, clock = scene.app, scene.clock
    whole = (0, 10**11, "")
    devices = {DeviceKey(f"GPU-{slug}"): [whole] for slug in (*LET, "idle", "spare")}
    devices[DeviceKey("GPU-acme")] = [(0, second(50), ""), (second(52), 10**11, "")]
    devices[DeviceKey("GPU-ghost")] = [(0, 10**11, "a-label-that-nobody-knows")]
    up = [(0, second(30)), (second(34), 10**11)]
    source = ScriptedSource(devices, up=up, interval=600)
    collecting = collector(app.database, clock, source, rule=NO_EXCLUSIONS)
    clock.move_to(at(5))
    collecting.tick()
    for slug in LET:
        app.registrar.add(Tenant(slug, f"{slug.title()} Robotics Pty Ltd", Attribution.LEASE), [], actor="test")
        span = Span(OCTOBER, FOREVER if slug in ("acme", "zeta") else at(HOURS))
        app.leaser.add(slug, span, uuids=[f"GPU-{slug}"], reference=f"contract-{slug}-2026", actor="test")
    app.registrar.add(Tenant("end", "End User", Attribution.LEASE, reseller="acme"), [], actor="test")
    app.rater.apply(BOOK.replace("2.00", "1.90"), actor="test")
    app.rater.apply(BOOK, actor="test")
    clock.move_to(at(HOURS + 4))
    while collecting.tick().windows:
        pass
    while app.conserver.tick():
        pass
    clock.move_to(at(30, day=31))


def _own(app: App) -> None:
    """north owns half of the GPUs of acme and zeta."""
    app.owner_registrar.add(Owner("north", "North Compute"), fee_basis_points=1000, actor="test")
    app.owner_registrar.share(
        [Wanted("north", parse_parts("1/2"), Span(OCTOBER, FOREVER), (), ("GPU-acme", "GPU-zeta"))], actor="test"
    )
    app.payer.propose("north", CHAIN, Address("0x" + "1" * 40), reason="told by mail", actor="test")


def _bill(scene: Scene) -> None:
    app = scene.app
    with app.database.transaction() as session:
        session.execute(text("UPDATE tenant SET terms_days = 1 WHERE slug = 'delta'"))
    app.granter.grant(Gift("acme", "20.00", "welcome"), actor="test")
    invoices = {one.tenant: one for one in scene.issue()}
    for slug in ("beta", "twice"):
        app.issuer.void(invoices[slug].number, reason="wrong price", actor="test")
        scene.pay(invoices[slug], 20 * DOLLAR)
    app.noter.credit(invoices["gamma"].number, Wish(1, 500), reason="slow network", actor="test")
    scene.pay(invoices["acme"], 60 * DOLLAR)
    scene.pay(invoices["zeta"], 150 * DOLLAR)
    scene.pay(scene.deposit("acme"), 7_500_000)
    scene.pay(invoices["store"], 7 * 10**18, token=WATCHED)
    scene.mine(12)
    app.settler.settle(everything=True, actor="test")
    scene.over(PERIOD)
    app.closer.close(PERIOD, actor="test")
    app.auditor.run(chains=False, actor="test")


def _hand_out(app: App, scene: Scene) -> None:
    for name in ("nightly report", "an old one"):
        plain = app.registrar.create_key(name=name, role=KeyRole.TENANT, tenant="acme", actor="test")
    app.registrar.revoke_key(plain[4:12], actor="test")
    with app.database.transaction() as session:
        acme = session.execute(text("SELECT id FROM tenant WHERE slug = 'acme'")).scalar_one()
    app.doorkeeper.add_contact(acme, "Tia of Acme", "tia@acme.example", actor="test")
    scene.clock.advance(timedelta(minutes=1))

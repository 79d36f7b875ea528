"""A month that has everything which reports tell, and nothing that is random: two prices, a reseller, excluded time, a meter, a
void, payments of every kind, and names and reasons that break what is written carelessly."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.core.onchain import Hash32
from billing.core.period import Span, month
from billing.events.event import Form
from billing.fleet.gpu import DeviceKey
from billing.invoicing import issuer, writer
from billing.invoicing.store.periods import invoiced
from billing.metering.excluder import Announcement, Excluder
from billing.tenants.tenant import Attribution, Tenant
from tests.events.pushed import body, event
from tests.factories import NO_EXCLUSIONS, OCTOBER, ScriptedSource, at, collector
from tests.web.client import WATCHED, application
from tests.web.scene import Scene

BOOK: Final = """
currency = "USD"
[[sku]]
code = "h100"
title = '=SUM(A1), "H100"'
models = ["NVIDIA H100 80GB HBM3"]
[[sku.price]]
from = 2026-01-01
per_hour = "2.00"
[[sku.price]]
from = 2026-10-03
per_hour = "2.195"
[[sku]]
code = "tokens"
title = "Tokens"
meter = "tokens"
[[sku.price]]
from = 2026-01-01
per_unit = "0.15"
unit_size = 1000
"""
METERS: Final = {
    "meters": [
        {"name": "tokens", "event_type": "inference", "value": "$.tokens", "aggregation": "sum", "unit": "token"}
    ]
}
ACME: Final = '=HYPERLINK("http://x"), "Söhne" & Co; GmbH'
DELTA: Final = "שלום, مرحبا 🚀 'delta'"
REASON: Final = '@fans, "blown" 🔥; half: done'
OCTOBERS: Final = month(2026, 10)
AGED: Final = date(2026, 12, 15)


def _tenants(scene: Scene) -> None:
    add = scene.app.registrar.add
    add(Tenant("acme", ACME, Attribution.LEASE, legal_name=ACME), [], actor="test")
    add(Tenant("beta", "Beta, Inc.", Attribution.LEASE), [], actor="test")
    add(Tenant("orbit", "Orbit Cloud", Attribution.LEASE), [], actor="test")
    add(Tenant("delta", DELTA, Attribution.LEASE, reseller="orbit"), [], actor="test")


def _metered(scene: Scene) -> None:
    """A week of October; acme has two GPUs, one of them in maintenance for a while."""
    gpus = {"acme": ("GPU-a1", "GPU-a2"), "beta": ("GPU-b1",), "delta": ("GPU-d1",)}
    devices = {DeviceKey(uuid): [(0, 10**11, "")] for uuids in gpus.values() for uuid in uuids}
    source = ScriptedSource(devices, up=[(0, 10**11)], interval=3600)
    collecting = collector(scene.app.database, scene.clock, source, rule=NO_EXCLUSIONS)
    scene.clock.move_to(at(5))
    collecting.tick()
    for slug, uuids in gpus.items():
        span = Span(OCTOBER, at(100, day=1))
        scene.app.leaser.add(slug, span, uuids=list(uuids), reference=f"lease-{slug}", actor="test")
    work = Announcement(Span(at(30), at(33)), REASON, [], ["GPU-a2"], "work-1")
    Excluder(scene.app.database, scene.clock, invoiced).announce(work, actor="test")
    scene.clock.move_to(at(104))
    while collecting.tick().windows:
        pass
    pushed = [event(str(n), {"tokens": 1234 * n}, subject="beta", time=f"2026-10-0{n}T01:00:00Z") for n in (1, 2, 3)]
    scene.app.ingester.ingest(body(*pushed), Form.BATCH)
    scene.app.rater.apply(BOOK, actor="test")
    scene.clock.move_to(at(30, day=31))


def _settled(scene: Scene) -> None:
    """acme pays 10.00 too much, beta in part, orbit's first invoice is voided and replaced, and stray money comes in."""
    acme, beta, orbit = scene.issue()
    scene.app.issuer.void(orbit.number, reason="wrong name, sorry", actor="test")
    (again,) = scene.app.issuer.run(OCTOBERS, "orbit", actor="test")
    scene.pay(acme, (acme.amount_due + 1000) * 10**4)
    scene.pay(beta, 60 * 10**6)
    scene.pay(beta, 10**18, token=WATCHED)
    scene.pay(again, 5)
    scene.mine(12)


@contextmanager
def story(database_url: str, folder: Path) -> Iterator[App]:
    numbers = itertools.count(1)
    clock = ManualClock(at(24, day=31))
    with pytest.MonkeyPatch.context() as patched:
        for one in (issuer, writer):
            patched.setattr(one, "nonce", lambda: Hash32(f"0x{next(numbers):064x}"))
        app = application(database_url, folder, clock, metering=METERS)
        scene = Scene(app, clock)
        _tenants(scene)
        _metered(scene)
        _settled(scene)
        yield app
        app.close()

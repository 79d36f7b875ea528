"""Settling follows what was collected: forth, back, and never twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.core.errors import Conflict
from billing.core.period import FOREVER, Span
from billing.ledger import store as ledger
from billing.owners import store
from billing.owners.registrar import Wanted
from billing.owners.share import WHOLE, Owner, parse_parts
from billing.owners.store import settled
from billing.reconciliation.applier import To
from billing.reconciliation.store import exceptions
from tests.factories import OCTOBER, at
from tests.parts import wait_for
from tests.web.client import WATCHED
from tests.web.scene import Scene

ALWAYS = Span(OCTOBER, FOREVER)


def own(scene: Scene, owner: str, gpu: str, share: str = "1", span: Span = ALWAYS) -> None:
    scene.app.owner_registrar.share([Wanted(owner, parse_parts(share), span, uuids=(gpu,))], actor="test")


def owner(scene: Scene, slug: str, fee: int = 0) -> None:
    scene.app.owner_registrar.add(Owner(slug, slug.title()), fee_basis_points=fee, actor="test")


def owed(scene: Scene, slug: str) -> int:
    with scene.app.database.transaction() as session:
        return settled.owed(session, slug).get("USD", 0)


def balance(scene: Scene, account: str) -> int:
    with scene.app.database.transaction() as session:
        return ledger.balance(session, account, "USD")


def settle(scene: Scene) -> int:
    """How many lines a run books."""
    return scene.app.settler.settle(actor="test").lines


def findings(scene: Scene) -> list[str]:
    return [str(one) for one in scene.app.auditor.run(chains=False).findings]


def test_owners_get_their_shares_of_what_was_paid_less_the_fee_and_the_house_the_rest(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")  # 20.00
    owner(scene, "north", fee=250)
    owner(scene, "south")
    own(scene, "north", "GPU-acme", "1/3")
    own(scene, "south", "GPU-acme", "1/2")
    assert settle(scene) == 0, "what is invoiced is not collected"
    scene.pay(invoice, 10_000_000)
    scene.mine(3)
    assert settle(scene) == 2
    assert (owed(scene, "north"), owed(scene, "south")) == (333 - 8, 500), "3.33 less 2.5 %, 5.00; the house keeps 1.67"
    assert balance(scene, "owner_share") == 325 + 500
    assert settle(scene) == 0, "settling again books nothing"
    scene.pay(invoice, 10_000_000)
    scene.mine(3)
    settle(scene)
    assert (owed(scene, "north"), owed(scene, "south")) == (667 - 17, 1_000), "in parts as at once"
    assert findings(scene) == []


def test_money_that_a_person_applied_is_collected_too(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")  # 20.00
    owner(scene, "north")
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 20 * 10**18, WATCHED)  # a token that invoices do not accept
    scene.mine(10)
    with scene.app.database.transaction() as session:
        (asked,) = exceptions(session)
    scene.app.applier.apply([asked["id"]], [To(invoice.number)], reason="worth it", actor="test")
    settle(scene)
    assert owed(scene, "north") == 2_000 and findings(scene) == []


def test_what_a_reorganisation_takes_back_is_taken_back_from_the_owner(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    owner(scene, "north", fee=1_000)
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    settle(scene)
    assert owed(scene, "north") == 1_800
    scene.orphan()
    assert settle(scene) == 1
    assert owed(scene, "north") == balance(scene, "owner_share") == 0
    with scene.app.database.transaction() as session:
        rows = session.execute(text("SELECT collected, fee FROM owner_settlement_line ORDER BY id")).all()
    assert [tuple(map(int, row)) for row in rows] == [(2_000, 200), (-2_000, -200)]
    assert findings(scene) == []


def test_written_off_rests_and_promotional_credit_earn_nobody_anything(scene: Scene) -> None:
    scene.meter("acme")
    with scene.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tenant_credit (tenant_id, kind, currency, units, reference, created_at, final_at) VALUES"
                " (1, 'promotional', 'USD', 500, 'gift', now(), now()), (1, 'prepaid', 'USD', 300, 'wire', now(), now())"
            )
        )
    (invoice,) = scene.issue()
    assert invoice.amount_due == 2_000 - 800
    owner(scene, "north")
    own(scene, "north", "GPU-acme")
    settle(scene)
    assert owed(scene, "north") == 300, "prepaid money was paid"
    scene.pay(invoice, 11_990_000)
    scene.mine(3)
    assert scene.again(invoice).status == "paid", "a cent is tolerated"
    settle(scene)
    assert owed(scene, "north") == 300 + 1_199


def test_what_is_overpaid_counts_when_it_pays_another_invoice(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    owner(scene, "north")
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 35_000_000)
    scene.mine(40)
    settle(scene)
    assert owed(scene, "north") == 2_000


def test_a_void_invoice_owes_owners_nothing(scene: Scene) -> None:
    scene.meter("acme")
    with scene.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tenant_credit (tenant_id, kind, currency, units, reference, created_at, final_at) VALUES"
                " (1, 'prepaid', 'USD', 300, 'wire', now(), now())"
            )
        )
    (invoice,) = scene.issue()
    owner(scene, "north")
    own(scene, "north", "GPU-acme")
    settle(scene)
    assert owed(scene, "north") == 300
    scene.app.issuer.void(invoice.number, reason="wrong", actor="test")
    settle(scene)
    assert owed(scene, "north") == 0


def test_a_gpu_sold_during_the_month_pays_each_owner_for_the_use_in_its_time(scene: Scene) -> None:
    """It is used for ten hours, and sold after four of them: by time of the month nearly all would be the buyer's."""
    (invoice,) = scene.invoiced("acme", hours=10)
    owner(scene, "north")
    owner(scene, "south")
    own(scene, "north", "GPU-acme", span=Span(OCTOBER, at(4)))
    own(scene, "south", "GPU-acme", span=Span(at(4), FOREVER))
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    settle(scene)
    assert (owed(scene, "north"), owed(scene, "south")) == (800, 1_200)


def test_use_that_changes_later_is_looked_at_again_within_a_day(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme", hours=10)
    owner(scene, "north")
    own(scene, "north", "GPU-acme", span=Span(OCTOBER, at(4)))
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    settle(scene)
    with scene.app.database.transaction() as session:
        session.execute(text("UPDATE usage SET superseded_at = now()"))
    assert scene.app.settler.settle().invoices == 0, "nothing else changed"
    scene.clock.advance(timedelta(days=1, seconds=1))
    assert settle(scene) == 1
    assert owed(scene, "north") == 11, "no use is known any more: 4 hours of the month's 744"
    scene.clock.advance(timedelta(hours=1))
    assert scene.app.settler.settle(everything=True).invoices == 1


def test_a_share_that_was_wrong_is_mended_by_the_next_run(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    owner(scene, "north")
    owner(scene, "south")
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    settle(scene)
    with scene.app.database.transaction() as session:
        (share,) = store.shares(session)
    scene.app.owner_registrar.end_share(share.id, OCTOBER, reason="it was the other one's", actor="test")
    own(scene, "south", "GPU-acme")
    assert settle(scene) == 2
    assert (owed(scene, "north"), owed(scene, "south")) == (0, 2_000)
    assert findings(scene) == []


def test_a_settlement_is_booked_on_its_own_day_and_never_on_a_closed_one(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    owner(scene, "north")
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    with scene.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO book_close (period, first_day, closed_before, closed_at, closed_by, carried)"
                " VALUES ('2026-11', '2026-10-01', '2026-12-01', now(), 'x', '[]')"
            )
        )
    with pytest.raises(Conflict, match="closed"):
        settle(scene)
    scene.clock.advance(timedelta(days=31))
    assert settle(scene) == 1
    with scene.app.database.transaction() as session:
        day = session.execute(text("SELECT booked_on FROM entry WHERE kind = 'settlement'")).scalar_one()
    assert day == scene.clock.now().date()


def test_the_audit_tells_when_settlements_and_the_ledger_differ(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    owner(scene, "north")
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    settle(scene)
    with scene.app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO owner_settlement_line (settlement_id, owner_id, invoice_id, gpu_id, currency, collected, fee)"
                " SELECT settlement_id, owner_id, invoice_id, gpu_id, currency, 7, 0 FROM owner_settlement_line"
            )
        )
    assert findings(scene) == [
        "what owners are owed is what was settled: north: 2007 USD settled and not paid out, the ledger says 2000"
    ]


def test_a_gpu_is_never_owned_more_than_once(scene: Scene) -> None:
    scene.meter("acme")
    owner(scene, "north")
    owner(scene, "south")
    own(scene, "north", "GPU-acme", "2/3")
    with pytest.raises(Conflict, match=r"GPU-acme 7/6 would be owned at .*: north owns 2/3"):
        own(scene, "south", "GPU-acme", "1/2", Span(at(5), at(6)))
    own(scene, "south", "GPU-acme", "1/3")
    sql = (
        "INSERT INTO gpu_share (owner_id, gpu_id, parts, during, created_at)"
        " VALUES (2, 1, 1, tstzrange('2026-10-03', '2026-10-04'), now())"
    )
    with pytest.raises(Conflict, match="owned more than once"), scene.app.database.transaction() as session:
        session.execute(text(sql))


def test_of_two_people_who_give_the_same_gpu_away_one_wins(scene: Scene) -> None:
    scene.meter("acme")
    owner(scene, "north")
    owner(scene, "south")
    with ThreadPoolExecutor(1) as other:
        with scene.app.database.transaction() as session:
            store.add_shares(session, 1, [1], WHOLE, ALWAYS, scene.clock.now())
            second = other.submit(own, scene, "south", "GPU-acme")
            wait_for(lambda: blocked(scene) == 1, "the second's wait")
        with pytest.raises(Conflict, match="owned more than once"):
            second.result(30)
    with scene.app.database.transaction() as session:
        assert [one.owner for one in store.shares(session)] == ["north"]


def blocked(scene: Scene) -> int:
    with scene.app.database.transaction() as session:
        sql = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database()"
        return int(session.execute(text(f"{sql} AND l.locktype = 'advisory' AND NOT l.granted")).scalar_one())


def test_two_settlements_at_once_book_everything_once(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    owner(scene, "north")
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    with ThreadPoolExecutor(4) as pool:
        lines = sorted(pool.map(lambda _: settle(scene), range(4)))
    assert (lines, owed(scene, "north")) == ([0, 0, 0, 1], 2_000)

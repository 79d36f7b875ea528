"""What a person applies to invoices is an input of matching: it stands or falls with its transfer, and nothing is half done."""

from decimal import Decimal

import pytest

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import month
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation.applier import To
from billing.reconciliation.resolver import Credited, Resolution
from billing.trail.store import about
from tests.reconciliation.desk import Desk
from tests.web.client import WATCHED


def test_one_transfer_pays_two_invoices_and_the_rest_is_credit(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    asked = desk.stray(october, 60)
    done = desk.app.applier.apply(
        [asked], [To(november.number, "12.50"), To(october.number)], reason="the payer wrote", actor="ann"
    )
    assert done == f"12.50 USD on {november.number}, 20.00 USD on {october.number}; 27.50 USD are acme's credit"
    assert desk.again(october).status is InvoiceStatus.PAID
    assert (desk.again(november).status, desk.again(november).remaining) == (InvoiceStatus.OPEN, 1_750)
    assert desk.balance("suspense", "31337:OUSD") == 0 and desk.balance("tenant_credit") == -2_750
    assert desk.rows("SELECT units::int FROM tenant_credit WHERE reversed_at IS NULL AND final_at IS NOT NULL") == [
        (2_750,)
    ]
    assert desk.rows("SELECT count(*) FROM tenant_credit") == [(1,)], "it was granted once"
    with desk.app.database.transaction() as session:
        (deed,) = about(session, "transfer 1/1")
    assert (deed.actor, deed.action, deed.details["as"]) == ("ann", "exception.resolve", "apply")
    assert desk.questions() == [] and desk.findings() == []


def test_the_report_names_it_once_as_credit_and_once_as_what_it_pays(desk: Desk) -> None:
    october, *_ = desk.invoices
    asked = desk.stray(october, 60)
    desk.app.applier.apply([asked], [To(october.number)], reason="theirs", actor="ann")
    came, pays = (
        one for one in desk.app.reporter.reconciliation_rows(month(2026, 10)) if one.invoice == october.number
    )
    assert (came.kind, came.value, came.applied, came.credited) == ("wrong_token", "60.00", "0.00", "60.00")
    assert (pays.kind, pays.applied, pays.credited, pays.difference) == ("assigned", "20.00", "-20.00", "0.00")
    assert pays.tx_hash == came.tx_hash and pays.ledger_entry


def test_two_transfers_pay_one_invoice_together(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    first, second = desk.stray(october, 14), desk.stray(november, 16)
    done = desk.app.applier.apply([second, first], [To(november.number)], reason="in two parts", actor="ann")
    assert done == f"30.00 USD on {november.number}"
    assert desk.again(november).status is InvoiceStatus.PAID and desk.questions() == []
    assert desk.rows("SELECT units::int, applied_units::int FROM assignment ORDER BY id") == [
        (1_400, 1_400),
        (1_600, 1_600),
    ]
    assert desk.balance("tenant_credit") == 0 and desk.findings() == []


def test_a_rest_within_the_tolerance_is_written_off_as_after_any_payment(desk: Desk) -> None:
    october, *_ = desk.invoices
    desk.rows("UPDATE tenant SET tolerance_units = 100 RETURNING id")
    asked = desk.stray(october, 19)
    desk.app.applier.apply([asked], [To(october.number)], reason="it is theirs", actor="ann")
    assert desk.again(october).status is InvoiceStatus.PAID
    assert desk.balance("write_off") == 100 and desk.findings() == []


def test_what_the_chain_takes_back_is_owed_again_and_asked_anew_when_it_returns(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    asked = desk.stray(october, 60)
    desk.app.applier.apply([asked], [To(october.number), To(november.number, "30.00")], reason="theirs", actor="ann")
    desk.forget(1)
    assert [desk.again(one).status for one in (october, november)] == [InvoiceStatus.OPEN] * 2
    assert desk.balance("receivable") == 10_000 and desk.balance("tenant_credit") == 0 and desk.findings() == []
    desk.bring_back(1)
    (again,) = desk.questions()
    assert again["id"] != asked and again["kind"] == "wrong_token"
    assert desk.balance("suspense", "31337:OUSD") == -60 * 10**18 and desk.balance("receivable") == 10_000
    desk.app.applier.apply([again["id"]], [To(october.number)], reason="theirs, still", actor="ann")
    assert desk.again(october).status is InvoiceStatus.PAID and desk.findings() == []


def test_money_that_comes_to_the_invoice_later_leaves_what_was_applied_alone(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    asked = desk.stray(november, 15)
    desk.app.applier.apply([asked], [To(october.number)], reason="theirs", actor="ann")
    desk.pay(october, 20_000_000)
    desk.mine(10)
    assert desk.again(october).status is InvoiceStatus.PAID and desk.balance("tenant_credit") == -1_500
    desk.app.issuer.void(november.number, reason="wrong", actor="ann")
    assert desk.findings() == []


def test_two_at_once_one_wins(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    asked, other = desk.stray(october, 20), desk.stray(october, 7)
    desk.app.resolver.resolve(asked, Resolution.CREDIT, reason="a credit", actor="bob")
    with pytest.raises(Conflict, match="was resolved by bob"):
        desk.app.applier.apply([other, asked], [To(october.number)], reason="no, this", actor="ann")
    assert [one["id"] for one in desk.questions()] == [other], "the other one was not closed either"
    desk.app.applier.apply([other], [To(november.number)], reason="this", actor="ann")
    with pytest.raises(Conflict, match="was resolved by ann"):
        desk.app.applier.apply([other], [To(november.number)], reason="this", actor="bob")
    assert desk.findings() == []


@pytest.mark.parametrize(
    ("to", "error", "words"),
    [
        ([To("INV-000001", "20.01")], Invalid, "INV-000001 owes 20.00 USD, so it cannot take 20.01 USD"),
        ([To("INV-000001", "-5")], Invalid, "cannot take -5.00 USD"),
        ([To("INV-000001", "0")], Invalid, "cannot take 0.00 USD"),
        ([To("INV-000001", "1" * 60)], Invalid, "INV-000001 owes 20.00 USD"),
        ([To("INV-000001", "a lot")], Invalid, "'a lot' is not an amount"),
        ([To("INV-000001", "1.005")], Invalid, "more decimals than USD"),
        ([To("INV-000001", "20.00"), To("INV-000003", "5.01")], Invalid, "worth 25.00 USD: 0.01 USD less"),
        ([To("INV-000003"), To("INV-000001")], Invalid, "nothing is left for INV-000001"),
        ([To("INV-000001"), To("INV-000001")], Invalid, "an invoice is named twice"),
        ([], Invalid, "0 invoices cannot be decided at once"),
        ([To("INV-000009")], NotFound, "there is no invoice INV-000009"),
        ([To("INV-000001"), To("INV-000002")], Invalid, "INV-000002 is beta's, and INV-000001 is acme's"),
        ([To("INV-000002")], Invalid, "--tenant beta says that you mean it"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_done(
    desk: Desk, to: list[To], error: type[Exception], words: str
) -> None:
    october, *_ = desk.invoices
    asked = desk.stray(october, 25)
    before = desk.rows("SELECT count(*) FROM entry")
    with pytest.raises(error, match=words):
        desk.app.applier.apply([asked], to, reason="theirs", actor="ann")
    assert desk.rows("SELECT count(*) FROM entry") == before and [one["id"] for one in desk.questions()] == [asked]
    assert desk.rows("SELECT count(*) FROM assignment") == [(0,)]


def test_paid_and_void_invoices_take_nothing_and_a_reason_is_needed(desk: Desk) -> None:
    october, _, november, _ = desk.invoices
    asked = desk.stray(october, 25)
    desk.pay(october, 20_000_000)
    desk.mine(10)
    desk.app.issuer.void(november.number, reason="wrong", actor="ann")
    for one, words in ((october, "is paid"), (november, "is void")):
        with pytest.raises(Conflict, match=words):
            desk.app.applier.apply([asked], [To(one.number)], reason="theirs", actor="ann")
    with pytest.raises(Invalid, match="needs a reason"):
        desk.app.applier.apply([asked], [To(october.number)], reason=" ", actor="ann")
    assert [one["id"] for one in desk.questions()] == [asked] and desk.findings() == []


def test_it_must_be_final_first(desk: Desk) -> None:
    october, *_ = desk.invoices
    desk.pay(october, 20 * 10**18, WATCHED)
    desk.mine(3)
    (asked,) = desk.questions()
    with pytest.raises(Conflict, match="not final yet"):
        desk.app.applier.apply([asked["id"]], [To(october.number)], reason="theirs", actor="ann")
    desk.mine(10)
    desk.app.applier.apply([asked["id"]], [To(october.number)], reason="theirs", actor="ann")
    assert desk.again(october).status is InvoiceStatus.PAID


def test_a_person_may_say_what_the_token_was_worth(desk: Desk) -> None:
    october, *_ = desk.invoices
    asked = desk.stray(october, 20)
    given = Credited(rate=Decimal("0.5"))
    desk.app.applier.apply([asked], [To(october.number)], reason="it broke", actor="ann", credited=given)
    assert desk.again(october).remaining == 1_000 and desk.findings() == []

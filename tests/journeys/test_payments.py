"""An invoice is paid in every way that people find, on a real EVM node; the books and the chain agree each time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.core.onchain import Address, checksum
from billing.invoicing.lifecycle import InvoiceStatus
from billing.reconciliation import store as payments
from billing.reconciliation.resolver import Resolution
from billing.wallets.forwarder import flush_calldata
from tests.world import World, issued, usd, world


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world(database_url, tmp_path) as one:
        yield one


def kinds(made: World, number: str) -> list[tuple[str, str, int, int]]:
    """(kind, disposition, applied, credited) of an invoice's payments."""
    invoice = made.invoice(number)
    with made.app.database.transaction() as session:
        rows = payments.payments(session, invoice_ids=[invoice.id])
    return [(r["kind"], r["disposition"], r["applied_units"], r["credited_units"]) for r in rows]


def test_an_exact_payment_settles_and_is_flushed_to_the_treasury(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert (invoice.amount_due, invoice.status) == (20_000, InvoiceStatus.OPEN) and invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.OPEN, "one confirmation is not enough"
    made.node.mine(2)
    made.follow()
    assert made.invoice(invoice.number).status is InvoiceStatus.PAID
    assert kinds(made, invoice.number) == [("exact", "matched", 20_000, 0)]
    made.settle()
    assert made.findings() == []
    factory = made.app.wallet.factory  # type: ignore[union-attr]
    made.node.send(factory, flush_calldata([invoice.digest], made.usdc))
    made.settle()
    assert made.node.balance(made.usdc, made.treasury) == usd("200.00")
    assert made.balance("deposit:31337:USDC", "31337:USDC") == 0
    assert made.balance("treasury:31337:USDC", "31337:USDC") == usd("200.00")
    assert made.balance("receivable") == 0 and made.findings() == []


def test_parts_two_tokens_and_a_cent_within_tolerance(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, 33_333_333)
    made.settle()
    assert made.invoice(invoice.number).remaining == 20_000 - 3_333
    made.node.transfer(made.usdc, invoice.address, 66_666_667)
    made.node.transfer(made.usdt, invoice.address, usd("99.99"))
    made.settle()
    paid = made.invoice(invoice.number)
    assert (paid.status, paid.remaining) == (InvoiceStatus.PAID, 0)
    assert [kind for kind, *_ in kinds(made, invoice.number)] == ["partial", "partial", "tolerated"]
    assert made.balance("write_off") == 1 and made.findings() == []


def test_too_much_becomes_credit_that_the_next_invoice_uses_once_it_is_final(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("250.00"))
    made.node.mine(2)
    made.follow()
    assert kinds(made, invoice.number) == [("over", "matched", 20_000, 5_000)]
    made.settle(1)
    with made.app.database.transaction() as session:
        from billing.invoicing.store.credit import credit_held

        assert credit_held(session, invoice.tenant_id, "USD") == []
    made.settle(20)
    with made.app.database.transaction() as session:
        assert [c.units for c in credit_held(session, invoice.tenant_id, "USD")] == [5_000]
    assert made.balance("tenant_credit") == -5_000 and made.findings() == []


def test_late_duplicate_dust_and_spam(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.node.transfer(made.usdc, invoice.address, 0)
    made.node.transfer(made.usdc, invoice.address, 9_999)
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.settle()
    assert kinds(made, invoice.number) == [
        ("exact", "matched", 20_000, 0),
        ("dust", "matched", 0, 0),
        ("duplicate", "matched", 0, 20_000),
    ]
    made.node.request("evm_increaseTime", [40 * 86400])
    made.node.transfer(made.usdc, invoice.address, usd("1.00"))
    made.settle()
    with made.app.database.transaction() as session:
        last = payments.payments(session, invoice_ids=[invoice.id])[-1]
    assert (last["kind"], last["late"]) == ("duplicate", True)
    assert made.findings() == []


def test_a_wrong_token_waits_for_a_person_who_may_credit_it(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    made.node.transfer(made.other, invoice.address, 7 * 10**18)
    made.settle()
    assert kinds(made, invoice.number) == [("wrong_token", "suspended", 0, 0)]
    with made.app.database.transaction() as session:
        (question,) = payments.exceptions(session)
    assert question["detail"] == "7.000000000000000000 OUSD came in for a token that the invoice does not accept"
    assert made.balance("suspense", "31337:OUSD") == -7 * 10**18
    done = made.app.resolver.resolve(question["id"], Resolution.CREDIT, reason="payer wrote", actor="finance")
    assert done.startswith("700 of USD")
    assert made.balance("suspense", "31337:OUSD") == 0 and made.balance("tenant_credit") == -700
    from billing.core.errors import Conflict

    with pytest.raises(Conflict, match="was resolved by finance"):
        made.app.resolver.resolve(question["id"], Resolution.REFUND, reason="again", actor="other")
    assert made.findings() == []


def test_money_for_a_void_invoice_is_suspended_and_may_be_refunded(made: World) -> None:
    (invoice,) = issued(made, "acme")
    assert invoice.address is not None
    note = made.app.issuer.void(invoice.number, reason="wrong price", actor="finance")
    assert note == "INV-CN-000001" and made.balance("receivable") == 0
    (replacement,) = made.app.issuer.run(invoice.period, "acme", actor="finance")
    assert replacement.replaces == invoice.number and replacement.number == "INV-000002"
    made.node.transfer(made.usdc, invoice.address, usd("200.00"))
    made.settle()
    assert kinds(made, invoice.number) == [("after_void", "suspended", 0, 0)]
    assert made.invoice(replacement.number).status is InvoiceStatus.OPEN
    with made.app.database.transaction() as session:
        (question,) = payments.exceptions(session)
    made.app.resolver.resolve(question["id"], Resolution.REFUND, reason="asked for it back", actor="finance")
    assert made.balance("refunds_payable", "31337:USDC") == -usd("200.00")
    assert made.findings() == []


def test_two_transfers_to_one_invoice_and_two_invoices_in_one_transaction(made: World) -> None:
    """Anvil's accounts cannot batch, so a small contract does: its constructor sends the transfers."""
    first, second = issued(made, "acme", "beta")
    assert first.address is not None and second.address is not None
    calls = [(first.address, usd("120.00")), (first.address, usd("80.00")), (second.address, usd("200.00"))]
    _batched(made, calls)
    made.settle()
    assert [kind for kind, *_ in kinds(made, first.number)] == ["partial", "exact"]
    assert [kind for kind, *_ in kinds(made, second.number)] == ["exact"]
    with made.app.database.transaction() as session:
        hashes = {row["tx_hash"] for row in payments.payments(session)}
    assert len(hashes) == 1 and made.findings() == []


def _batched(made: World, calls: list[tuple[Address, int]]) -> None:
    """Deploy init code that makes these transfers: it is funded at its future address first."""
    from billing.core.keccak import keccak256
    from billing.core.onchain import create2
    from billing.wallets.forwarder import proxy
    from tests.world import transfer_data

    code = b""
    for to, units in calls:
        data = transfer_data(to, units)
        for offset in range(0, len(data), 32):
            chunk = data[offset : offset + 32].ljust(32, b"\0")
            code += b"\x7f" + chunk + b"\x60" + bytes([offset]) + b"\x52"  # PUSH32 chunk, PUSH1 offset, MSTORE
        # CALL(gas, token, 0, 0, len(data), 0, 0); POP
        code += b"\x5f" * 0 + b"\x60\x00\x60\x00\x60" + bytes([len(data)]) + b"\x60\x00\x60\x00"
        code += b"\x73" + bytes.fromhex(made.usdc[2:]) + b"\x5a\xf1\x50"
    code += b"\x60\x00\x60\x00\xf3"
    sender = create2(proxy(), bytes(32), keccak256(code))
    made.node.transfer(made.usdc, sender, sum(units for _, units in calls))
    made.node.send(proxy(), bytes(32) + code)


def test_the_treasurys_own_movements_and_its_opening_balance_are_external(made: World) -> None:
    made.node.transfer(made.usdc, made.treasury, usd("5.00"))
    (invoice,) = issued(made, "acme")
    made.follow()
    made.node.transfer(made.usdc, made.treasury, usd("7.00"), sender=1)
    made.node.transfer(made.usdc, checksum(made.node.accounts[2]), usd("3.00"), sender=9)
    made.settle()
    assert made.findings() == []
    assert made.balance("treasury:31337:USDC", "31337:USDC") == usd("9.00")
    assert made.balance("external", "31337:USDC") == -usd("9.00")
    assert made.invoice(invoice.number).status is InvoiceStatus.OPEN

"""A Safe file is checked against the pin: whatever a plan would not say is refused, with the transaction's number."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Invalid
from billing.core.onchain import Address, Hash32, checksum, selector, to_address, to_hash, word
from billing.treasury.payout import transfer_calldata
from billing.treasury.safe import Checked, Paid, builder_file, safe_file, treasury_named, verify, wallets_of
from billing.treasury.sweep import SALTS_MAX, Batch, Deposit, batches, worth
from billing.wallets.wallet import ForwarderWallet, TreasuryKind, forwarder_wallet

WHEN = datetime(2026, 11, 1, tzinfo=UTC)
WALLET = forwarder_wallet("0x" + "a1" * 20, TreasuryKind.CONTRACT)
TOKEN = Address("0x" + "70" * 20)
SALTS = st.binary(min_size=32, max_size=32).map(to_hash)


def deposit(salt: Hash32, units: int = 5) -> Deposit:
    return Deposit(WALLET.address_of(salt), TOKEN, units, salt)


def content(count: int = 3, wallet: ForwarderWallet = WALLET) -> bytes:
    deposits = [deposit(to_hash(bytes([number]) * 32)) for number in range(1, count + 1)]
    return safe_file(8453, batches(wallet, TOKEN, deposits, 2), "Sweep base", WHEN)


@given(st.lists(SALTS, unique=True, min_size=1, max_size=20), st.integers(1, 20), st.binary(min_size=20, max_size=20))
def test_what_is_planned_is_what_a_signer_reads(salts: list[Hash32], most: int, token: bytes) -> None:
    planned = list(batches(WALLET, to_address(token), map(deposit, salts), most))
    chain_id, found = verify(safe_file(8453, planned, "x", WHEN), [WALLET])
    assert chain_id == 8453
    checked = [one for one in found if isinstance(one, Checked)]
    assert [one.token for one in checked] == [to_address(token)] * len(planned)
    assert [one.salts for one in checked] == [tuple(d.salt for d in one.deposits) for one in planned]
    assert {address for one in checked for address in one.addresses} == {WALLET.address_of(salt) for salt in salts}
    assert all(len(one.salts) <= most for one in checked)


def test_a_pin_is_found_again_from_the_treasury_that_the_file_names() -> None:
    named = treasury_named(content())
    assert named == checksum(WALLET.treasury)
    assert wallets_of([WALLET.pin()], [named], []) == [WALLET]
    closed = forwarder_wallet(WALLET.treasury, TreasuryKind.EOA, "0x" + "f1" * 20)
    assert wallets_of([closed.pin()], [named], [closed.flusher]) == [closed]
    with pytest.raises(Invalid, match="of another treasury or flusher"):
        wallets_of([closed.pin()], [named], [])


def _edit(change: Callable[[dict[str, Any]], None]) -> bytes:
    found = json.loads(content())
    change(found)
    return json.dumps(found).encode()


def _first(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found["transactions"][0].update(fields)


def _data(change: Callable[[str], str]) -> Callable[[dict[str, Any]], None]:
    def edit(found: dict[str, Any]) -> None:
        found["transactions"][1]["data"] = change(found["transactions"][1]["data"])

    return edit


THIEF = "0x" + "66" * 20


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        pytest.param(b"", "no JSON", id="empty"),
        pytest.param(b"[]", "no JSON object", id="list"),
        pytest.param(b"{}", "version 1.0", id="nothing"),
        pytest.param(_edit(lambda f: f.update(chainId=8453)), "version 1.0", id="chain id as a number"),
        pytest.param(_edit(lambda f: f.update(chainId="9" * 5000)), "version 1.0", id="an absurd chain id"),
        pytest.param(content().replace(b'"value"', b'"to": "0x", "value"', 1), "the same key twice", id="a key twice"),
        pytest.param(b"[" * 100_000, "no JSON", id="deep"),
        pytest.param(b"\xff\xfe", "no JSON", id="binary"),
        pytest.param(_edit(lambda f: f.update(transactions=[])), "no list of transactions", id="no transactions"),
        pytest.param(_edit(_first(to=THIEF)), "transaction 1 calls 0x6666.*not the factory", id="another contract"),
        pytest.param(_edit(_first(to="0x12")), "is not an address", id="no address"),
        pytest.param(_edit(_first(value="1")), "transaction 1 sends '1' of the native coin", id="a value"),
        pytest.param(_edit(_first(value=0)), "transaction 1 sends", id="a value that is no text"),
        pytest.param(_edit(_first(operation=1)), "keys that no plan has: operation", id="a delegate call"),
        pytest.param(_edit(_first(contractMethod={"name": "x"})), "names a method", id="a method beside the data"),
        pytest.param(_edit(_first(data=None)), "no transaction", id="no data"),
        pytest.param(
            _edit(_data(lambda d: "0xa9059cbb" + d[10:])), "transaction 2 does not call flush", id="a transfer"
        ),
        pytest.param(_edit(_data(lambda d: d + "00")), "canonical", id="a byte more"),
        pytest.param(_edit(_data(lambda d: d + "00" * 32)), "canonical", id="a word more"),
        pytest.param(_edit(_data(lambda d: d[:-2])), "canonical", id="a byte less"),
        pytest.param(_edit(_data(lambda d: d[:40] + "1" + d[41:])), "canonical", id="another offset"),
        pytest.param(_edit(_data(lambda d: d[:80] + "1" + d[81:])), "canonical", id="dirt above the token"),
        pytest.param(_edit(_data(lambda d: d[:10] + " " + d[10:])), "plain hex", id="a space"),
        pytest.param(_edit(_data(lambda d: "0xzz")), "no hex", id="no hex"),
        pytest.param(
            _edit(lambda f: f["transactions"].append(f["transactions"][0])), "transaction 3.*again", id="twice"
        ),
    ],
)
def test_anything_else_is_refused_by_name(bad: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        verify(bad, [WALLET])


def test_a_file_of_another_factory_is_refused_even_if_it_is_a_plan() -> None:
    other = forwarder_wallet(THIEF, TreasuryKind.CONTRACT)
    with pytest.raises(Invalid, match="not the factory of the pin"):
        verify(content(wallet=other), [WALLET])


def test_more_addresses_than_fit_a_transaction_are_refused() -> None:
    many = tuple(deposit(to_hash(number.to_bytes(32, "big"))) for number in range(SALTS_MAX + 1))
    with pytest.raises(Invalid, match="flushes 251 addresses"):
        verify(safe_file(1, [Batch(WALLET, TOKEN, many)], "x", WHEN), [WALLET])


def test_small_amounts_are_told_apart_and_nothing_is_lost() -> None:
    deposits = [deposit(to_hash(bytes([number]) * 32), units) for number, units in enumerate((0, 1, 9, 10, 11))]
    enough, small = worth(deposits, 10)
    assert [one.units for one in enough] == [10, 11] and [one.units for one in small] == [1, 9]
    assert [one.units for one in worth(deposits, 0)[0]] == [1, 9, 10, 11]


HOME = Address("0x" + "50" * 20)


def paying(*calls: tuple[Address, bytes]) -> bytes:
    return builder_file(8453, WALLET.treasury, ("Payout", "x"), calls, WHEN)


@given(st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.integers(1, 2**256 - 1)), min_size=1, max_size=5))
def test_a_file_that_pays_is_read_as_whom_it_pays(pairs: list[tuple[bytes, int]]) -> None:
    wanted = [Paid(TOKEN, to_address(payee), units) for payee, units in pairs]
    file = paying(*((TOKEN, transfer_calldata(one.payee, one.units)) for one in wanted))
    assert verify(file, [WALLET], {one.payee for one in wanted}, {TOKEN}) == (8453, wanted)
    with pytest.raises(Invalid, match=r"transaction 1 pays 0x\w+, which was not named"):
        verify(file, [WALLET], {WALLET.treasury} - {wanted[0].payee}, {TOKEN})
    with pytest.raises(Invalid, match=r"transaction 1 pays in 0x\w+, which was not named"):
        verify(file, [WALLET], {one.payee for one in wanted}, set())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (transfer_calldata(HOME, 0), "pays nothing"),
        (transfer_calldata(HOME, 1) + b"\0", "no transfer of a token"),
        (selector("approve(address,uint256)") + word(HOME) + word(1), "no transfer of a token"),
        (selector("transfer(address,uint256)") + b"\1" * 12 + word(HOME)[12:] + word(1), "canonical"),
        (b"", "no transfer of a token"),
    ],
)
def test_a_file_that_pays_may_do_nothing_else(data: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=f"transaction 2.*{why}"):
        verify(paying((TOKEN, transfer_calldata(HOME, 1)), (TOKEN, data)), [WALLET], {HOME}, {TOKEN})

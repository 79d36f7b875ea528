"""Which addresses are looked at when: the daily ones each day, every other one once in thirty, and readings that wait."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from billing.chain.balances import NATIVE
from billing.chain.block import Block
from billing.chain.store import readings
from billing.chain.store.readings import ROTATION_DAYS, Reading
from billing.core.onchain import Address, Hash32
from billing.db.engine import Database
from tests.factories import OCTOBER

CHAIN = 31337
TOKEN = Address("0x" + "c0" * 20)
PARENT = Hash32("0x" + "00" * 32)


def address(n: int) -> Address:
    return Address(f"0x{n:040x}")


def block(number: int, branch: str = "a") -> Block:
    return Block(number, Hash32("0x" + f"{branch}{number:x}".rjust(64, "0")), PARENT, OCTOBER)


FIRST = block(1)


@pytest.fixture
def site(database: Database) -> Database:
    """90 quiet addresses, and a treasury."""
    with database.transaction() as session:
        session.execute(
            text("INSERT INTO wallet_generation (pin, mode, factory, implementation, init_code_hash, treasury, treasury_kind,"
                 " flusher, next_index, created_at) VALUES ('p', 'xpub', '', '', '', '', '', '', 0, :at)"), {"at": OCTOBER}
        )  # fmt: skip
        rows = [{"a": address(n), "kind": "treasury" if n == 0 else "unissued", "at": OCTOBER} for n in range(91)]
        session.execute(
            text("INSERT INTO payment_address (address, kind, generation_id, salt, created_at) VALUES (:a, :kind, 1, '', :at)"),
            rows,
        )  # fmt: skip
    return database


def due(site: Database, now: datetime, limit: int | None = 1000) -> list[Address]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with site.transaction() as session:
        return [one.address for one in readings.due(session, CHAIN, midnight, limit=limit)]


def look(
    site: Database, owners: Sequence[Address], now: datetime, units: int = 0, at: Block = FIRST, count: bool = True
) -> None:
    with site.transaction() as session:
        readings.add(session, CHAIN, at, [Reading((owner, TOKEN), units) for owner in owners], now)
        if count:
            readings.count(session, CHAIN, at.hash, now)


def transfer(site: Database, to: Address, at: datetime, units: int = 5) -> None:
    with site.transaction() as session:
        session.execute(
            text(
                "INSERT INTO transfer (chain_id, block_hash, log_index, block_number, mined_at, tx_hash, token_address,"
                " from_address, to_address, units, state, incarnation, seen_at, state_at, settled) VALUES"
                " (:chain, '0xb', 1, 1, :at, '0xt', :token, '0xf', :to, :units, 'final', 1, :at, :at, true)"
            ),
            {"chain": CHAIN, "at": at, "token": TOKEN, "to": to, "units": units},
        )


def test_every_address_is_looked_at_in_each_thirty_days_and_the_treasury_daily(site: Database) -> None:
    seen = Counter[Address]()
    look(site, due(site, OCTOBER), OCTOBER)
    for day in range(1, 2 * ROTATION_DAYS + 1):
        now = OCTOBER + timedelta(days=day, hours=day % 24)
        found = due(site, now)
        assert len(found) == 1 + 90 // ROTATION_DAYS, "as many each day"
        look(site, found, now)
        assert due(site, now + timedelta(minutes=5)) == []
        seen.update(found)
    assert seen.pop(address(0)) == 2 * ROTATION_DAYS
    assert set(seen.values()) == {2} and len(seen) == 90


def test_who_was_never_looked_at_comes_first_and_no_look_is_too_long(site: Database) -> None:
    assert len(due(site, OCTOBER, limit=10)) == 10
    look(site, due(site, OCTOBER)[:80], OCTOBER)
    assert set(due(site, OCTOBER)) == {address(n) for n in range(80, 91)}
    later = OCTOBER + timedelta(days=40)
    assert due(site, later)[:11] == [address(n) for n in range(80, 91)]
    assert len(due(site, later)) == 91, "days on which nobody looked are made up for"


def test_an_address_that_holds_something_or_moved_is_looked_at_daily(site: Database) -> None:
    look(site, due(site, OCTOBER), OCTOBER)
    tomorrow = OCTOBER + timedelta(days=1)
    rotation = due(site, tomorrow) + due(site, tomorrow + timedelta(days=1))
    quiet = [one for one in map(address, range(1, 91)) if one not in rotation]
    rich, paid = quiet[0], quiet[1]
    look(site, [rich], OCTOBER, units=7, at=block(2))
    transfer(site, paid, OCTOBER + timedelta(hours=9))
    assert {rich, paid} <= set(due(site, tomorrow)) and quiet[2] not in due(site, tomorrow)
    look(site, [rich, paid], tomorrow, at=block(3))
    assert not {rich, paid} & set(due(site, tomorrow + timedelta(hours=1)))
    later = due(site, tomorrow + timedelta(days=1))
    assert rich not in later and paid not in later, "nothing is there, nothing happened since"


def test_a_person_who_asks_is_told_about_now(site: Database) -> None:
    look(site, due(site, OCTOBER), OCTOBER)
    assert due(site, OCTOBER) == [] and due(site, OCTOBER, limit=None) == [address(0)]


def test_a_reading_waits_and_is_not_replaced_before_it_counts(site: Database) -> None:
    look(site, [address(0)], OCTOBER, units=1)
    tomorrow = OCTOBER + timedelta(days=1)
    look(site, [address(0)], tomorrow, units=2, at=block(5), count=False)
    for day in (1, 2, 50):
        assert address(0) not in due(site, OCTOBER + timedelta(days=day))
        assert address(0) not in due(site, OCTOBER + timedelta(days=day), limit=None)
    look(site, [address(0)], tomorrow, units=3, at=block(6), count=False)
    with site.transaction() as session:
        assert readings.waiting(session, CHAIN, 4) == []
        assert readings.waiting(session, CHAIN, 9) == [(5, block(5).hash)]
        assert [one.units for one in readings.compared(session, CHAIN)] == [1], "until then the one before stands"
        assert [one.units for one in readings.count(session, CHAIN, block(5).hash, tomorrow)] == [2]
        assert [(one.units, one.block_number) for one in readings.compared(session, CHAIN)] == [(2, 5)]
        assert readings.count(session, CHAIN, block(5).hash, tomorrow) == []


def test_what_was_read_in_a_block_that_left_the_chain_is_read_again(site: Database) -> None:
    look(site, [address(0)], OCTOBER, units=1)
    tomorrow = OCTOBER + timedelta(days=1)
    look(site, [address(0)], tomorrow, units=2, at=block(5), count=False)
    with site.transaction() as session:
        assert readings.forget(session, CHAIN, block(5).hash) == 1
    assert address(0) in due(site, tomorrow)
    with site.transaction() as session:
        assert [one.units for one in readings.compared(session, CHAIN)] == [1]
        readings.forget_above(session, CHAIN, 0)
        assert readings.compared(session, CHAIN) == [], "a person takes back what was final"


def test_readings_and_transfers_are_compared_up_to_the_block_of_the_reading(site: Database) -> None:
    one, other = address(1), address(2)
    transfer(site, one, OCTOBER)
    look(site, [one], OCTOBER, units=0, at=block(0))
    look(site, [other], OCTOBER, units=0, at=block(9))
    with site.transaction() as session:
        assert readings.compared(session, CHAIN) == []
        assert readings.moved(session, CHAIN, 0, [(one, TOKEN)]) == {(one, TOKEN): 0}
        assert readings.moved(session, CHAIN, 1, [(one, TOKEN), (one, NATIVE)]) == {(one, TOKEN): 5, (one, NATIVE): 0}
    look(site, [one], OCTOBER, units=2**256 - 1, at=block(9))
    with site.transaction() as session:
        (found,) = readings.compared(session, CHAIN)
    assert (found.place, found.units, found.moved) == ((one, TOKEN), 2**256 - 1, 5)

"""Who is on a list is told at once; who cannot be told about is not clear."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from billing.compliance import store
from billing.compliance.oracle import NoAnswer, ScreeningNode, sanctioned, signer, verify
from billing.compliance.screener import ListFile, Policy, Screener
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid, Unavailable, Untrusted
from billing.core.onchain import Address, Hash32
from billing.db.engine import Database
from tests.factories import OCTOBER

T = TypeVar("T")
PAYER, SIGNER, ORACLE = (Address("0x" + digits * 20) for digits in ("aa", "bb", "cc"))
TX = Hash32("0x" + "11" * 32)
YES, NO = (1).to_bytes(32, "big"), bytes(32)


class Told:
    """A node that tells what it is told to: an error is raised."""

    url = "memory"

    def __init__(self, transaction: Any = None, answer: Any = NO) -> None:
        self.found, self.answer, self.asked = transaction, answer, 0

    def transaction(self, tx_hash: Hash32) -> Any:
        self.asked += 1
        return self.found

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        assert to == ORACLE and data.hex().startswith("df592f7d"), "isSanctioned(address)"
        if isinstance(self.answer, Exception):
            raise self.answer
        found: bytes = (
            self.answer.get(Address("0x" + data[-20:].hex()), NO) if isinstance(self.answer, dict) else self.answer
        )
        return found


def screener(database: Database, node: Told, *files: ListFile, oracle: bool = False) -> Screener:
    def ask(chain_id: int, what: Callable[[ScreeningNode], T]) -> T:
        return what(node)

    clock = ManualClock(OCTOBER + timedelta(days=3))
    return Screener(database, clock, Policy(files, {8453: ORACLE} if oracle else {}), ask)


@pytest.fixture
def file(tmp_path: Path) -> ListFile:
    path = tmp_path / "sdn.txt"
    path.write_text(f"{SIGNER}\tETH\n")
    return ListFile("sdn", path, OCTOBER)


@pytest.mark.parametrize("answer", [b"", b"\x01", (2).to_bytes(32, "big"), YES + NO, Conflict("the call reverts")])
def test_an_oracle_that_says_neither_yes_nor_no_clears_nobody(answer: Any) -> None:
    with pytest.raises(NoAnswer):
        sanctioned(Told(answer=answer), ORACLE, PAYER)
    with pytest.raises(Invalid, match=r"mend compliance\.oracles\.address"):
        verify(Told(answer=answer), ORACLE)


@pytest.mark.parametrize("found", [{}, {"from": None}, {"from": "0x12"}, {"from": 7}])
def test_a_transaction_without_a_sender_is_not_believed(found: Any) -> None:
    with pytest.raises(Untrusted, match="tells no sender"):
        signer(Told(found), TX)


def test_a_transaction_that_the_node_does_not_know_clears_nobody(database: Database, file: ListFile) -> None:
    one = screener(database, Told(None), file)
    one.refresh()
    with pytest.raises(Unavailable, match="does not know transaction"):
        one.screen(8453, TX, PAYER)


def test_a_sender_on_a_list_is_told_without_asking_anybody(database: Database, file: ListFile) -> None:
    node = Told(None)
    one = screener(database, node, file, oracle=True)
    one.refresh()
    found = one.screen(8453, TX, SIGNER)
    assert str(found.hit) == "the sender is on list sdn" and node.asked == 0


def test_the_signer_is_looked_up_in_lists_and_then_both_in_the_oracle(database: Database, file: ListFile) -> None:
    by_list = screener(database, Told({"from": SIGNER}), file, oracle=True)
    by_list.refresh()
    assert str(by_list.screen(8453, TX, PAYER).hit) == "the signer of the transaction is on list sdn"
    other = "0x" + "DD" * 20
    by_oracle = screener(database, Told({"from": other}, {Address(other.lower()): YES}), file, oracle=True)
    by_oracle.refresh()
    found = by_oracle.screen(8453, TX, PAYER)
    assert found.hit is not None and found.hit.address == other.lower() and found.hit.by.startswith("oracle 0x")
    assert by_oracle.screen(1, TX, PAYER).hit is None, "the other chain has no oracle"


def test_an_old_list_is_an_alarm_and_still_counts(database: Database, file: ListFile) -> None:
    one = screener(database, Told({"from": PAYER}), file)
    one.refresh()
    assert one.alarms() == {}
    one._clock.move_to(OCTOBER + timedelta(days=8))  # type: ignore[attr-defined]
    assert one.alarms() == {"sdn": "it is of 2026-10-01, older than 7 days"}
    assert one.screen(8453, TX, SIGNER).hit is not None


def test_a_list_without_a_date_is_as_old_as_its_file(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "sdn.txt"
    path.write_text(SIGNER)
    os.utime(path, (OCTOBER.timestamp(), (OCTOBER - timedelta(days=20)).timestamp()))
    one = screener(database, Told(), ListFile("sdn", path))
    one.refresh()
    assert one.alarms() == {"sdn": "it is of 2026-09-11, older than 7 days"}
    os.utime(path, (OCTOBER.timestamp(), OCTOBER.timestamp()))
    one.refresh()
    assert one.alarms() == {}, "written again: the same list of a newer day"
    with database.transaction() as session:
        (known,) = store.lists(session)
        assert known["dated"] == OCTOBER and len(store.unlooked(session)) == 1, "no new version"


def test_a_list_that_goes_back_to_an_older_version_is_a_version_again(database: Database, file: ListFile) -> None:
    one = screener(database, Told(), file)
    for content in (SIGNER, PAYER, SIGNER):
        file.path.unlink()
        file.path.write_text(content)
        one.refresh()
    with database.transaction() as session:
        assert len(store.unlooked(session)) == 3
    assert one.screen(8453, TX, SIGNER).hit is not None


def test_a_list_that_the_settings_do_not_name_any_more_warns_nobody(database: Database, file: ListFile) -> None:
    screener(database, Told(), file).refresh()
    screener(database, Told()).refresh()
    with database.transaction() as session:
        assert store.lists(session) == []
    screener(database, Told(), file).refresh()
    with database.transaction() as session:
        assert [one["name"] for one in store.lists(session)] == ["sdn"]


def test_a_folder_or_a_missing_file_is_an_alarm_not_a_traceback(database: Database, tmp_path: Path) -> None:
    one = screener(database, Told(), ListFile("dir", tmp_path), ListFile("gone", tmp_path / "gone"))
    one.refresh()
    assert "Is a directory; it was never read" in one.alarms()["dir"]
    assert "No such file or directory; it was never read" in one.alarms()["gone"]
    with pytest.raises(Unavailable, match="was never read"):
        one.screen(8453, TX, PAYER)

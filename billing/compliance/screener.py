"""Says whether a sender is on a list. Reads list files again when they change; asks chains and their oracles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from billing.compliance import store
from billing.compliance.oracle import Ask, sanctioned, signer
from billing.compliance.screening import Hit, Part, SanctionsList, Screened, listed, parse
from billing.core.clock import Clock
from billing.core.errors import Invalid, Unavailable
from billing.core.onchain import Address, Hash32, checksum
from billing.db.engine import Database

BYTES_MAX: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class ListFile:
    """A list that the settings name. Without `dated` it is as old as its file."""

    name: str
    path: Path
    dated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What is screened against: list files, and each chain's oracle, if it has one."""

    files: tuple[ListFile, ...] = ()
    oracles: Mapping[int, Address] | None = None
    stale_after_days: int = 7

    @property
    def on(self) -> bool:
        return bool(self.files or self.oracles)


Signature = tuple[int, int, int]
"""(inode, size, modified): what tells that a file was changed."""


class Screener:
    """Lists are kept in memory; the database keeps each version, so that one which cannot be read any more still counts."""

    def __init__(self, database: Database, clock: Clock, policy: Policy, ask: Ask) -> None:
        self._database, self._clock, self.policy, self._ask = database, clock, policy, ask
        self._lists: dict[str, SanctionsList] = {}
        self._seen: dict[str, Signature | str] = {}
        self._problems: dict[str, str] = {}
        self._begun = False

    def refresh(self) -> None:
        """Read the files that changed. One that cannot be read leaves its last good version in force."""
        if not self._begun:
            with self._database.transaction() as session:
                store.drop_others(session, [one.name for one in self.policy.files], self._clock.now())
            self._begun = True
        for one in self.policy.files:
            try:
                signature: Signature | str = _signature(one.path)
            except OSError as error:
                signature = str(error.strerror)
            if signature != self._seen.get(one.name):
                self._read(one)
                self._seen[one.name] = signature

    def _read(self, one: ListFile) -> None:
        now = self._clock.now()
        try:
            found = _load(one)
        except (Invalid, Unavailable) as error:
            self._problems[one.name] = str(error)
            with self._database.transaction() as session:
                last = store.cannot_read(session, one.name, str(error))
            if last is not None:
                self._lists[one.name] = last
            return
        with self._database.transaction() as session:
            store.keep(session, found, self.policy.stale_after_days, now)
        self._problems.pop(one.name, None)
        self._lists[one.name] = found

    def alarms(self) -> dict[str, str]:
        """{list: what is wrong with it}: it is old, cannot be read, or was never read."""
        now, days, found = self._clock.now(), self.policy.stale_after_days, {}
        for one in self.policy.files:
            last = self._lists.get(one.name)
            said = [self._problems[one.name]] if one.name in self._problems else []
            if last is None:
                said.append("it was never read: payments wait")
            else:
                if said:
                    said.append(f"the version of {last.dated:%Y-%m-%d} counts")
                if last.older_than(days, now):
                    said.append(f"it is of {last.dated:%Y-%m-%d}, older than {days} days")
            if said:
                found[one.name] = "; ".join(said)
        return found

    def screen(self, chain_id: int, tx_hash: Hash32, sender: Address) -> Screened:
        """Whether a transfer's sender, or who signed its transaction, is on a list or on the chain's oracle.

        Raises Unavailable or Untrusted when nobody can tell: such a payment waits. Who is on a list is told without asking."""
        missing = [one.name for one in self.policy.files if one.name not in self._lists]
        lists = [self._lists[one.name] for one in self.policy.files if one.name in self._lists]
        by = tuple(f"{one.name} {one.digest[:16]}" for one in lists)
        hit = listed(lists, [(sender, Part.SENDER)])
        if hit is not None:
            return Screened(sender, "", hit, by)
        if missing:
            raise Unavailable(f"the list {missing[0]} was never read", remedy="mend compliance.lists")
        signed_by = self._ask(chain_id, lambda node: signer(node, tx_hash))
        parties = [(sender, Part.SENDER)] + ([(signed_by, Part.SIGNER)] if signed_by != sender else [])
        hit = listed(lists, parties)
        oracle = (self.policy.oracles or {}).get(chain_id)
        if hit is None and oracle is not None:
            by = (*by, f"oracle {checksum(oracle)}")
            hit = self._told(chain_id, oracle, parties)
        return Screened(sender, signed_by, hit, by)

    def payee_on(self, chain_id: int, address: Address) -> str:
        """The list, or the chain's oracle, that has an address which somebody wants to be paid at; empty when none has, and when
        nothing is configured. Raises Unavailable or Untrusted when nobody can tell."""
        self.refresh()
        missing = [one.name for one in self.policy.files if one.name not in self._lists]
        lists = [self._lists[one.name] for one in self.policy.files if one.name in self._lists]
        hit, oracle = listed(lists, [(address, Part.PAYEE)]), (self.policy.oracles or {}).get(chain_id)
        if hit is None and missing:
            raise Unavailable(f"the list {missing[0]} was never read", remedy="mend compliance.lists")
        if hit is None and oracle is not None:
            hit = self._told(chain_id, oracle, [(address, Part.PAYEE)])
        return hit.by if hit is not None else ""

    def _told(self, chain_id: int, oracle: Address, parties: Sequence[tuple[Address, Part]]) -> Hit | None:
        for address, part in parties:
            if self._ask(chain_id, lambda node, address=address: sanctioned(node, oracle, address)):  # type: ignore[misc]
                return Hit(address, part, f"oracle {checksum(oracle)}")
        return None


def _signature(path: Path) -> Signature:
    told = path.stat()
    return told.st_ino, told.st_size, told.st_mtime_ns


def _load(one: ListFile) -> SanctionsList:
    """Raises Invalid for a file that is no list, Unavailable when it cannot be read."""
    try:
        with one.path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
            modified = one.path.stat().st_mtime_ns // 10**9
    except OSError as error:
        raise Unavailable(f"{one.path} cannot be read: {error.strerror}") from None
    if len(content) > BYTES_MAX:
        raise Invalid(f"{one.path} is larger than {BYTES_MAX >> 20} MiB")
    dated = one.dated or datetime.fromtimestamp(modified, UTC)
    return SanctionsList(one.name, parse(str(one.path), content), dated)

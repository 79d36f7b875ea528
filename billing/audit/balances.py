"""The books against the chain: what the ledger says is on watched addresses, and what `balanceOf` says.

Balances are read near the head, where every node still has the state, pinned to one block. They count once that block is final.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.audit import coins, store
from billing.audit.finding import Finding
from billing.chain import store as chain_store
from billing.chain.balances import NATIVE, Place, balances_at
from billing.chain.block import Block
from billing.chain.node import Node
from billing.chain.store import Cursor, readings
from billing.chain.store import tokens as token_store
from billing.chain.store.readings import Owner, Reading
from billing.chain.tokens import Token
from billing.chain.watcher import Watcher
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import Address, checksum
from billing.db.engine import Database, Session
from billing.ledger import store as ledger
from billing.ledger.account import EXTERNAL, treasury
from billing.ledger.entry import Entry, Posting
from billing.trail.store import Deed, record
from billing.wallets import store as wallets

CHECK = "the books match {}"
OPENING = "opening"
BEHIND: Final = 32
"""Blocks below our cursor: few reorganisations reach so deep, and a node that keeps little state keeps that of 128 blocks."""
OWNERS_AT_ONCE: Final = 1_000
SILENT: Final = "says nothing"


@dataclass(slots=True)
class Looked:
    """What a look did, in places: those read, those counted, those whose block is not on the chain any more."""

    owners: int = 0
    read: int = 0
    counted: int = 0
    forgotten: int = 0


class BalanceAudit:
    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, watcher: Watcher, now: datetime, *, fresh: bool = True) -> list[Finding]:
        """The differences on one chain. `fresh` looks again at everything that is looked at daily.

        Raises Unavailable when no endpoint answers.
        """
        self.look(watcher, now, limit=None if fresh else OWNERS_AT_ONCE)
        with self._database.transaction() as session:
            return _findings(session, watcher, now)

    def look(self, watcher: Watcher, now: datetime, *, limit: int | None = OWNERS_AT_ONCE) -> Looked:
        """Count what became final, and read whom it is time to look at: `limit` addresses, or everybody who is looked at daily.
        Raises Unavailable when no endpoint answers."""
        done = Looked()
        self._count(watcher, now, done)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        with self._database.transaction() as session:
            owners = readings.due(session, watcher.chain.chain_id, midnight, limit=limit)
        for start in range(0, len(owners), OWNERS_AT_ONCE):
            self._read(watcher, owners[start : start + OWNERS_AT_ONCE], now, done)
        if done.read:
            self._count(watcher, now, done)
        return done

    def _read(self, watcher: Watcher, owners: Sequence[Owner], now: datetime, done: Looked) -> None:
        chain_id = watcher.chain.chain_id
        with self._database.transaction() as session:
            cursor = _settled(session, chain_id)
            tokens = _tokens(session, chain_id)
        if cursor is None:
            return
        places = [(owner.address, token) for owner in owners for token in tokens]
        places += [(owner.address, NATIVE) for owner in owners if owner.kind != "treasury"]
        block, node, found = watcher.pool.ask(lambda node: _told(node, cursor, places))
        with self._database.transaction() as session:
            expected = readings.moved(session, chain_id, block.number, places)
        doubtful = {place: units for place, units in found.items() if units != expected[place]}
        why = _contradicted(watcher, node, block, doubtful)
        read = [
            Reading(place, None if place in why else units, why.get(place, SILENT if units is None else ""))
            for place, units in found.items()
        ]
        with self._database.transaction() as session:
            readings.add(session, chain_id, block, read, now)
        done.owners += len(owners)
        done.read += len(read)

    def _count(self, watcher: Watcher, now: datetime, done: Looked) -> None:
        """Readings whose block became final count; those whose block is not on the chain any more are forgotten."""
        chain_id = watcher.chain.chain_id
        with self._database.transaction() as session:
            cursor = _settled(session, chain_id)
            waiting = [] if cursor is None else readings.waiting(session, chain_id, _final(cursor))
        if cursor is None or not waiting:
            return
        numbers = [number for number, _ in waiting]
        hashes = watcher.pool.ask(lambda node: {block.number: block.hash for block in _ours(node, cursor, numbers)})
        for number, block_hash in waiting:
            with self._database.transaction() as session:
                readings.lock(session, chain_id)
                now_at = _settled(session, chain_id)
                if now_at is None or number > _final(now_at):  # a person takes back what was final
                    return
                if hashes[number] != block_hash:
                    done.forgotten += readings.forget(session, chain_id, block_hash)
                    continue
                counted = readings.count(session, chain_id, block_hash, now)
                done.counted += len(counted)
                self._open(session, chain_id, number, counted, now)
                held = {one.place[0]: one.units for one in counted if one.place[1] == NATIVE and one.units is not None}
                coins.ask(session, watcher.chain, held, now)

    @staticmethod
    def _open(session: Session, chain_id: int, number: int, counted: Sequence[Reading], now: datetime) -> None:
        """What a treasury held before it was watched, booked against `external` the first time it is looked at. That it was
        looked at is kept also when it held nothing: a later difference is a finding, never an opening."""
        tokens, treasuries = _tokens(session, chain_id), _treasuries(session)
        found = {one.place: one.units for one in counted if one.place[0] in treasuries and one.units is not None}
        moved = readings.moved(session, chain_id, number, list(found)) if found else {}
        for (owner, address), held in found.items():
            token, units = tokens[address], held - moved[owner, address]
            account, asset = treasury(chain_id, token.symbol), token.asset.code
            place = f"{account} {owner}"
            if _opening(session, token, owner) is not None or store.opened(session, place):
                continue
            record(session, Deed(now, "audit", "treasury.opening", place, details={"units": str(units)}))
            if units:
                postings = (Posting(account, asset, units), Posting(EXTERNAL, asset, -units))
                ledger.post(session, Entry(OPENING, now.date(), now, postings, memo=f"{OPENING} {owner}"))


def _told(node: Node, cursor: Cursor, places: Sequence[Place]) -> tuple[Block, Node, dict[Place, int | None]]:
    number = min(cursor.number, max(cursor.final, cursor.number - BEHIND, cursor.start - 1))
    (block,) = _ours(node, cursor, [number])
    return block, node, balances_at(node, places, block)


def _ours(node: Node, cursor: Cursor, numbers: Sequence[int]) -> list[Block]:
    """Headers of an endpoint that knows our newest block. Raises Unavailable."""
    newest, *found = node.blocks([cursor.number, *numbers])
    if newest is None or newest.hash != cursor.hash:
        raise Unavailable(f"{node.url} does not know our block {cursor.number}: it is behind, or on another branch")
    missing = next((number for number, one in zip(numbers, found, strict=True) if one is None), None)
    if missing is not None:
        raise Unavailable(f"{node.url} does not know block {missing}")
    return [one for one in found if one is not None]


def _contradicted(watcher: Watcher, node: Node, block: Block, said: Mapping[Place, int | None]) -> dict[Place, str]:
    """Why not to believe what differs from the transfers: another endpoint says something else. Few places differ, so the others
    are asked about those alone."""
    why: dict[Place, str] = {}
    for endpoint in watcher.pool.endpoints if said else ():
        if endpoint.node is node or endpoint.failures:
            continue
        try:
            other = balances_at(endpoint.node, list(said), block)
        except (Unavailable, Untrusted):
            continue
        why |= {
            place: f"{units} at {node.url} and {other[place]} at {endpoint.node.url}"
            for place, units in said.items()
            if other[place] != units
        }
    return why


def _settled(session: Session, chain_id: int) -> Cursor | None:
    """The cursor, unless the chain waits for a person, or is just being read again."""
    cursor = chain_store.cursor(session, chain_id)
    return None if cursor is None or cursor.stopped or cursor.rewind_to is not None else cursor


def _final(cursor: Cursor) -> int:
    return min(cursor.final, cursor.number)


def _tokens(session: Session, chain_id: int) -> dict[Address, Token]:
    return {one.address: one for one in token_store.known(session).values() if one.chain_id == chain_id}


def _treasuries(session: Session) -> set[Address]:
    return {one.address for one in wallets.addresses(session)[0] if one.kind == "treasury"}


def _opening(session: Session, token: Token, owner: Address) -> int | None:
    """What was booked for a treasury; None when nothing was."""
    return ledger.booked_with(session, OPENING, f"{OPENING} {owner}", treasury(token.chain_id, token.symbol))


def _findings(session: Session, watcher: Watcher, now: datetime) -> list[Finding]:
    """Addresses whose newest counted reading is not what transfers left there, and accounts that are not what addresses are."""
    chain, check, findings = watcher.chain, CHECK.format(watcher.chain.name), []
    cursor = chain_store.cursor(session, chain.chain_id)
    if cursor is None or cursor.final < 0:
        return []
    tokens, treasuries = _tokens(session, chain.chain_id), _treasuries(session)
    for one in readings.compared(session, chain.chain_id):
        owner, address = one.place
        expected, name = one.moved, tokens[address].symbol if address in tokens else "native coin"
        if owner in treasuries:
            expected += _opening(session, tokens[address], owner) or 0
        if one.units != expected:
            told = one.why if one.units is None else one.units
            detail = f"{name} at block {one.block_number}: chain {told}, transfers {expected}"
            findings.append(Finding(check, checksum(owner), detail))
    sums = defaultdict[str, int](int)
    for (owner, address), units in chain_store.balances(session, chain.chain_id, cursor.final).items():
        kind = "treasury" if owner in treasuries else "deposit"
        sums[f"{kind}:{chain.chain_id}:{tokens[address].symbol}"] += units
    for token in tokens.values():
        for owner in treasuries:
            sums[treasury(chain.chain_id, token.symbol)] += _opening(session, token, owner) or 0
    for kind in ("deposit", "treasury"):
        booked = store.posted(session, kind, (chain.chain_id, cursor.final))
        for account in sorted({*booked, *(name for name in sums if name.startswith(kind))}):
            if booked.get(account, 0) != sums.get(account, 0):
                detail = f"ledger {booked.get(account, 0)}, addresses {sums.get(account, 0)} at block {cursor.final}"
                findings.append(Finding(check, account, detail))
    return findings

"""The audit lane: everything up to what is final is read once more, from another endpoint where there is one.

Nodes behind load balancers leave out logs without an error, under the right block hash. Such a payment is found here and goes
on as if it had just been seen. What is stored and not on the chain is never deleted: a person looks at it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from billing.chain import store
from billing.chain.block import Block, Log
from billing.chain.node import Node, RangeTooLarge
from billing.chain.pool import Pool
from billing.chain.reader import Read, Reader
from billing.chain.store import Cursor, proofs
from billing.chain.watcher import LOGS_AIM, SPAN_MAX, Chain, Watched
from billing.core.clock import Clock
from billing.core.errors import Unavailable, Untrusted
from billing.core.onchain import Hash32
from billing.db.engine import Database, Session
from billing.trail.store import Deed, record


@dataclass(frozen=True, slots=True)
class Proven:
    """What a tick did. `found` transfers were missing in the database, `doubted` ones are missing on the chain."""

    blocks: int = 0
    found: int = 0
    doubted: int = 0
    behind: int = 0


class Proofreader:
    def __init__(
        self, database: Database, clock: Clock, chain: Chain, pool: Pool, watched: Watched,
        fence: Callable[[Session], None],
    ) -> None:  # fmt: skip
        """`pool` has the endpoints in the order in which this lane prefers them: the tip lane's last one first."""
        self._database, self._clock, self._chain = database, clock, chain
        self._pool, self._watched, self._fence = pool, watched, fence
        self._span = 64

    def tick(self) -> Proven:
        """Prove one stretch. Raises Unavailable or Untrusted when no endpoint has good answers."""
        with self._database.transaction() as session:
            self._watched.refresh(session)
            cursor = store.cursor(session, self._chain.chain_id)
            if cursor is None or cursor.rewind_to is not None:
                return Proven()
            before = proofs.proven(session, self._chain.chain_id)
            rereads = cursor.number < cursor.final  # after a rewind the tip lane comes first
            if rereads or cursor.final <= _last(cursor, before):
                return Proven()
            remembered = store.blocks_down(session, cursor.chain_id, cursor.number)
        anchor = min((block for block in remembered if block.number >= cursor.final), key=lambda block: block.number)
        return self._pool.ask(lambda node: self._prove(node, anchor, cursor, before))

    def _prove(self, node: Node, anchor: Block, cursor: Cursor, before: int | None) -> Proven:
        last = _last(cursor, before)
        self._require_our_chain(node, anchor)
        read = self._read(node, last, cursor.final)
        span = (last + 1, read.end.number)
        now = self._clock.now()
        with self._database.transaction() as session:
            stored = proofs.known(session, cursor.chain_id, span, [token.address for token in self._chain.tokens])
        seen = {(log.block_hash, log.log_index): log for log in read.logs}
        doubts = {id_: why for id_, log in stored.items() if (why := _doubt(log, seen, node)) is not None}
        places = {(log.block_hash, log.log_index) for log in stored.values()}
        missing = [log for place, log in seen.items() if place not in places]
        logs = {(log.tx_hash, log.log_index) for log in stored.values()}
        if any((log.tx_hash, log.log_index) in logs for log in missing):
            raise Untrusted(f"{node.url} has a known transfer in another place of blocks {span[0]} to {span[1]}")
        self._require_agreed(missing, node)
        mined = {block.number: block.mined_at for block in read.blocks}
        with self._database.transaction() as session:
            self._fence(session)
            if self._watched.refresh(session):  # an address was given out meanwhile: read again with it
                return Proven(behind=cursor.final - last)
            found = store.add_transfers(session, cursor.chain_id, missing, mined, now)
            doubted = proofs.doubt(session, doubts, now)
            proofs.believe(session, [id_ for id_ in stored if id_ not in doubts], now)
            for log in missing:
                details = {"units": str(log.units), "block": log.block_number, "endpoint": node.url}
                subject = f"log {log.log_index} of {log.tx_hash}"
                record(session, Deed(now, "audit lane", "transfer.found", subject, "the tip lane missed it", details))
            proofs.advance(session, cursor.chain_id, before, read.end.number, now)
        return Proven(read.end.number - last, found, doubted, cursor.final - read.end.number)

    def _require_our_chain(self, node: Node, anchor: Block) -> None:
        """A node that knows a block of ours at or above what is final has the same history. One that is a little behind the tip
        lane's endpoint is good enough. Raises Unavailable, or Untrusted."""
        if node.chain_id() != self._chain.chain_id:
            raise Untrusted(f"{node.url} is of another chain than {self._chain.chain_id}")
        known = node.block(anchor.number)
        if known is None or known.hash != anchor.hash:
            raise Unavailable(f"{node.url} does not know our block {anchor.number}: it is behind, or on another branch")

    def _read(self, node: Node, last: int, final: int) -> Read:
        parent = node.block(last)
        if parent is None:
            raise Unavailable(f"{node.url} does not know block {last}")
        reader = Reader(node, self._chain.tokens, self._watched.addresses)
        while True:
            end = min(final, last + self._span)
            try:
                read = reader.span(last + 1, end, parent.hash)
            except RangeTooLarge:
                if end - last == 1:
                    raise
                self._span = (end - last) // 2
                continue
            except Unavailable:  # perhaps it was too much: less next time
                self._span = max(1, (end - last) // 2)
                raise
            if read is None:
                raise Untrusted(f"{node.url} contradicts itself about block {last + 1}")
            self._span = max(1, min(SPAN_MAX, self._span * 2, (end - last) * LOGS_AIM // max(1, read.seen)))
            return read

    def _require_agreed(self, missing: list[Log], node: Node) -> None:
        """What one endpoint alone says is no payment while others that answer have another block there.

        That they leave the log out of that block is why this lane exists. Raises Untrusted.
        """
        for endpoint in self._pool.endpoints if missing else ():
            for log in missing:
                if endpoint.node is node:
                    continue
                try:
                    known = endpoint.node.block(log.block_number)
                except (Unavailable, Untrusted):
                    break
                if known is not None and known.hash != log.block_hash:
                    raise Untrusted(
                        f"{node.url} has a payment in block {log.block_number}, which is another one at {endpoint.node.url}"
                    )


def _last(cursor: Cursor, before: int | None) -> int:
    """The newest block that needs no proof any more."""
    return max(0, cursor.start - 1) if before is None else before


def _doubt(log: Log, seen: dict[tuple[Hash32, int], Log], node: Node) -> str | None:
    """Why a stored transfer is doubted; None when it was read just so."""
    found = seen.get((log.block_hash, log.log_index))
    if found == log:
        return None
    if found is not None:
        return f"{node.url} tells it otherwise: {found.units} units of {found.token} to {found.receiver}"
    block = node.block(log.block_number)
    if block is not None and block.hash != log.block_hash:
        return f"{node.url} has another block {log.block_number}, although it is final"
    return f"{node.url} does not have it in block {log.block_number}"

"""Follows one chain: reads blocks after the cursor, notices reorganisations, and says how sure each transfer is.

Each stretch is one transaction: transfers, blocks and the cursor together, so a crash repeats a stretch and never skips
one. An endpoint is not believed before it has shown that it knows our last block.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final, Protocol

from billing.chain import store
from billing.chain.block import Block
from billing.chain.lifecycle import TRANSFER, ChainEvent, ChainState
from billing.chain.node import MaybeCut, Node, RangeTooLarge
from billing.chain.policy import Finality, Tags
from billing.chain.pool import Pool
from billing.chain.reader import Read, Reader
from billing.chain.store import Cursor, reach, tokens
from billing.chain.tokens import Token
from billing.core.clock import Clock
from billing.core.errors import Conflict, Unavailable, Untrusted
from billing.core.onchain import Address, Hash32
from billing.db.engine import Database, Session

NEAR: Final = 16
"""Blocks this close to the head are read one by one, by hash."""
SPAN_MAX: Final = 2_000
LOGS_AIM: Final = 8_000
"""About so many logs are asked for at once: memory stays flat on a busy chain, and few nodes send more than 10,000."""


HEIGHT_MAX: Final = 2**62
OLD_SECONDS: Final = 120
OLD_BLOCKS: Final = 30
"""A newest block older than both is old."""


class Watched(Protocol):
    """The addresses that matter, kept up to date. Wallets implement it."""

    def refresh(self, session: Session) -> bool:
        """Take in what was added. True when there was something new."""
        ...

    @property
    def addresses(self) -> Collection[Address]: ...


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as configured. `start` is the first block to read (left out: from now on)."""

    chain_id: int
    name: str
    tokens: tuple[Token, ...]
    finality: Finality
    start: int | None = None
    reorg_blocks_max: int = 512
    block_seconds: int = 2
    stall_seconds: int = 3_600
    """When no block became final for so long, it is an alarm."""


@dataclass(slots=True)
class Progress:
    """What a tick did. `behind` is how many blocks are left to read."""

    blocks: int = 0
    logs: int = 0
    transfers: int = 0
    zero_value: int = 0
    reorgs: int = 0
    orphaned: int = 0
    moved: int = 0
    behind: int = 0
    stalled: reach.Still | None = None
    """For how many seconds no block became final, once that is too long."""


class Watcher:
    def __init__(
        self, database: Database, clock: Clock, chain: Chain, pool: Pool, watched: Watched,
        fence: Callable[[Session], None],
    ) -> None:  # fmt: skip
        """`fence` is called in every writing transaction and raises when this process may not watch any more."""
        self._database, self._clock, self.chain = database, clock, chain
        self.pool, self._watched, self._fence = pool, watched, fence
        self._noted, self._proven = False, set[str]()
        self._span, self._span_max = 64, SPAN_MAX

    def tick(self, blocks_max: int = 5_000) -> Progress:
        """Read up to so many blocks. Raises Unavailable or Untrusted when no endpoint has good answers, Conflict when
        the chain waits for a person."""
        return self.pool.ask(lambda node: self._follow(node, blocks_max))

    def sync(self, progress: Callable[[Progress], None] | None = None) -> Progress:
        """Read until the head is reached."""
        total = Progress()
        while True:
            one = self.tick()
            for name in ("blocks", "logs", "transfers", "zero_value", "reorgs", "orphaned", "moved"):
                setattr(total, name, getattr(total, name) + getattr(one, name))
            total.behind = one.behind
            if progress is not None:
                progress(total)
            if one.behind == 0 or not (one.blocks or one.reorgs):
                return total

    def begin(self, node: Node) -> Cursor:
        """The cursor. Without one the chain is followed from now on: from its start block, or from the newest block.

        Written without a fence: whoever comes first begins, and everybody goes on from there.
        """
        self._prove(node)
        with self._database.transaction() as session:
            if not self._noted:
                tokens.note(session, self.chain.tokens)
            cursor = store.cursor(session, self.chain.chain_id)
        self._noted = True
        if cursor is not None:
            return cursor
        first = _block(node, "latest").number if self.chain.start is None else self.chain.start - 1
        before = _block(node, max(0, first))
        with self._database.transaction() as session:
            return store.begin(session, self.chain.chain_id, self.chain.name, before, self._clock.now())

    def _prove(self, node: Node) -> None:
        """An endpoint of another chain would look like a reorganisation of everything. Each is asked once."""
        if node.url not in self._proven:
            found = node.chain_id()
            if found != self.chain.chain_id:
                raise Untrusted(f"{node.url} is of chain {found}, not {self.chain.chain_id}")
            self._proven.add(node.url)

    def _follow(self, node: Node, blocks_max: int) -> Progress:
        done = Progress()
        self._prove(node)
        head = self._head(node)
        cursor = self._start(node)
        if not cursor.takes_back and not self._on_our_chain(node, cursor, head):
            cursor = self._reorganise(node, cursor, done)
        if cursor.rewind_to is not None:
            cursor = self._rewind(node, cursor, cursor.rewind_to, done)
        while done.blocks < blocks_max and cursor.number < head.number:
            read = self._read(node, cursor, head, blocks_max - done.blocks)
            if read is None:
                cursor = self._reorganise(node, cursor, done)
                continue
            saved = self._save(node, cursor, read, done)
            if saved is not None:
                cursor = saved
        self._settle(node, cursor, done)
        done.behind = max(0, head.number - cursor.number)
        return done

    def _head(self, node: Node) -> Block:
        """The newest block. Raises Unavailable when it is old, and another endpoint has a newer one: nodes that hang say
        nothing of it. When it is old everywhere, the chain itself stands still."""
        head = _block(node, "latest")
        old = timedelta(seconds=max(OLD_SECONDS, OLD_BLOCKS * self.chain.block_seconds))
        if self._clock.now() - head.mined_at > old:
            for endpoint in self.pool.endpoints:
                other = self._newest(endpoint.node) if endpoint.node is not node else None
                if other is not None and other.mined_at - head.mined_at > old:
                    age = int((self._clock.now() - head.mined_at).total_seconds())
                    raise Unavailable(f"{node.url} stands still: its newest block is {age} s old")
        return head

    def _newest(self, node: Node) -> Block | None:
        """None when an endpoint does not answer, or is of another chain."""
        try:
            self._prove(node)
            return node.block("latest")
        except (Unavailable, Untrusted):
            return None

    def _start(self, node: Node) -> Cursor:
        with self._database.transaction() as session:
            self._watched.refresh(session)
        cursor = self.begin(node)
        if cursor.stopped:
            raise Conflict(
                f"chain {self.chain.name} is stopped: {cursor.stopped}",
                remedy="see: stablemeter chain status; then: stablemeter chain resume",
            )
        return cursor

    def _on_our_chain(self, node: Node, cursor: Cursor, head: Block) -> bool:
        """False after a reorganisation. Raises Unavailable when the node is merely behind us, or so far that nothing of it
        is remembered."""
        if cursor.number <= head.number:
            return _block(node, cursor.number).hash == cursor.hash
        with self._database.transaction() as session:
            below = store.blocks_down(session, cursor.chain_id, head.number)
        if not below or self._has(node, below[0]):
            raise Unavailable(f"{node.url} is {cursor.number - head.number} blocks behind what was read already")
        return False

    def _read(self, node: Node, cursor: Cursor, head: Block, blocks_max: int) -> Read | None:
        """The next stretch; None when the chain no longer builds on our cursor."""
        reader = Reader(node, self.chain.tokens, self._watched.addresses)
        shorter = 0
        while True:
            far = head.number - NEAR - cursor.number
            if far < 2:
                return reader.one(cursor.number + 1, cursor.hash)
            length = min(self._span, far, blocks_max) - shorter
            try:
                read = reader.span(cursor.number + 1, cursor.number + length, cursor.hash)
            except RangeTooLarge as refusal:
                if length == 1:
                    raise
                if isinstance(refusal, MaybeCut) and not shorter:
                    shorter = 1  # an honest answer has another length then, and a cut one has not
                    continue
                shorter = 0
                self._span = self._span_max = max(1, length // 2)
                continue
            except Unavailable:  # perhaps it was too much: less next time
                self._span = max(1, length // 2)
                raise
            if read is not None:
                self._widen(length, read.seen)
            return read

    def _widen(self, length: int, logs: int) -> None:
        """Ask for twice as much next time, but not for many more logs than are good to hold. What a node refused once is
        approached again in small steps: it may have been a busy stretch."""
        self._span_max = min(SPAN_MAX, self._span_max + self._span_max // 32 + 1)
        self._span = max(1, min(self._span_max, self._span * 2, length * LOGS_AIM // max(1, logs)))

    def _save(self, node: Node, cursor: Cursor, read: Read, done: Progress) -> Cursor | None:
        """Store a stretch and move the cursor. None when an address was given out since the stretch was read: whoever
        was shown it may have paid in these blocks, so they are read again with it."""
        now = self._clock.now()
        mined = {block.number: block.mined_at for block in read.blocks}
        gone = self._left(node, cursor, read)
        with self._database.transaction() as session:
            self._fence(session)
            if self._watched.refresh(session):
                return None
            done.orphaned += store.orphan_blocks(session, cursor.chain_id, gone, now)
            done.transfers += store.add_transfers(session, cursor.chain_id, read.logs, mined, now)
            store.add_blocks(session, cursor.chain_id, read.blocks)
            found = store.advance(session, cursor, read.end, now)
        done.blocks += read.end.number - cursor.number
        done.logs += read.seen
        done.zero_value += read.zero
        return found

    def _left(self, node: Node, cursor: Cursor, read: Read) -> list[Hash32]:
        """After a rewind there are transfers above the cursor: blocks of theirs that are not on the chain any more."""
        with self._database.transaction() as session:
            known = store.blocks_with_transfers(session, cursor.chain_id, (cursor.number + 1, read.end.number))
        return [block_hash for number, block_hash in known if _block(node, number).hash != block_hash]

    def _reorganise(self, node: Node, cursor: Cursor, done: Progress) -> Cursor:
        """Walk back to the newest block that the chain still has, and take back what was seen above it."""
        now = self._clock.now()
        done.reorgs += 1
        with self._database.transaction() as session:
            remembered = store.blocks_down(session, cursor.chain_id, cursor.number)
        gone = list(takewhile(lambda block: not self._has(node, block), remembered))
        depth = cursor.number - gone[-1].number + 1 if gone else 0
        if depth > self.chain.reorg_blocks_max or len(gone) == len(remembered):
            why = f"a reorganisation took back {depth} blocks or more, down to block {gone[-1].number}"
            raise self._stopped(node, cursor, why)
        ancestor = remembered[len(gone)]
        with self._database.transaction() as session:
            self._fence(session)
            try:
                done.orphaned += store.orphan_above(session, cursor.chain_id, ancestor.number, now)
            except Conflict as error:
                why = str(error)
            else:
                store.forget_blocks(session, cursor.chain_id, above=ancestor.number)
                return store.advance(session, cursor, ancestor, now)
        raise self._stopped(node, cursor, why)

    def _has(self, node: Node, block: Block) -> bool:
        found = node.block(block.number)
        return found is not None and found.hash == block.hash

    def _stopped(self, node: Node, cursor: Cursor, why: str) -> Conflict:
        """Stop the chain, loudly, until a person has looked. Nothing that is booked is touched.

        Not on the word of one endpoint alone: raises Untrusted when another one still has our cursor.
        """
        for endpoint in self.pool.endpoints:
            if endpoint.node is not node and self._believes(endpoint.node, cursor.number, cursor.hash):
                raise Untrusted(f"{node.url} says that {why}; {endpoint.node.url} does not")
        with self._database.transaction() as session:
            self._fence(session)
            store.stop(session, cursor.chain_id, why, self._clock.now())
        return Conflict(f"chain {self.chain.name} is stopped: {why}", remedy="see: stablemeter chain status")

    def _believes(self, node: Node, number: int, block_hash: Hash32) -> bool:
        try:
            self._prove(node)
            found = node.block(number)
        except (Unavailable, Untrusted):
            return False
        return found is not None and found.hash == block_hash

    def _rewind(self, node: Node, cursor: Cursor, to: datetime, done: Progress) -> Cursor:
        """Find the last block mined before a time by halving, and go on from there. When a person asked for it, what the
        chain does not have any more is taken back first, final or not."""
        low, high = max(0, cursor.start - 1), cursor.number
        while low < high:
            middle = (low + high + 1) // 2
            if _block(node, middle).mined_at < to:
                low = middle
            else:
                high = middle - 1
        now, ancestor = self._clock.now(), _block(node, low)
        gone = self._gone(node, cursor, ancestor) if cursor.takes_back else []
        with self._database.transaction() as session:
            self._fence(session)
            done.orphaned += store.orphan_blocks(session, cursor.chain_id, gone, now, even_final=True)
            store.rewind(session, cursor.chain_id, ancestor, now)
            found = store.cursor(session, cursor.chain_id)
        assert found is not None
        return found

    def _gone(self, node: Node, cursor: Cursor, ancestor: Block) -> list[Hash32]:
        """Blocks with transfers, above a rewind's target, that are not on the chain any more.

        Raises Untrusted when another endpoint still has one of them, Unavailable when this one may be behind, and stops the
        chain when the rewind does not reach down to where the branches part.
        """
        with self._database.transaction() as session:
            below = store.blocks_down(session, cursor.chain_id, ancestor.number)[:1]
            seen = store.blocks_with_transfers(session, cursor.chain_id, (0, HEIGHT_MAX))
        rooted = [(block.number, block.hash) for block in below] + [one for one in seen if one[0] <= ancestor.number][
            -1:
        ]
        for number, block_hash in rooted:
            if _block(node, number).hash != block_hash:
                raise self._stopped(node, cursor, f"block {number} is not on the chain either: rewind further back")
        above = [one for one in seen if one[0] > ancestor.number]
        found = node.blocks([number for number, _ in above])
        if None in found:
            raise Unavailable(f"{node.url} does not know block {above[found.index(None)][0]}, which was read before")
        gone = [one for one, block in zip(above, found, strict=True) if block is not None and block.hash != one[1]]
        for endpoint in self.pool.endpoints:
            for number, block_hash in gone if endpoint.node is not node else ():
                if self._believes(endpoint.node, number, block_hash):
                    raise Untrusted(f"{node.url} says that block {number} is gone; {endpoint.node.url} does not")
        return [block_hash for _, block_hash in gone]

    def _tagged(self, node: Node, tag: str) -> Block | None:
        """The block of a tag. When the node does not tell, another endpoint's word counts if the block is on the node's chain."""
        told = node.block(tag)
        for endpoint in self.pool.others(node) if told is None else ():
            try:
                self._prove(endpoint.node)
                found = endpoint.node.block(tag)
            except (Unavailable, Untrusted) as error:
                self.pool.failed(endpoint, error)
                continue
            if found is not None and self._believes(node, found.number, found.hash):
                return found
        return told

    def _settle(self, node: Node, cursor: Cursor, done: Progress) -> None:
        """Move transfers on as blocks get old enough, or as the chain's own tags pass them."""
        finality, now = self.chain.finality, self._clock.now()
        tags = Tags(**{tag: found.number for tag in finality.tags if (found := self._tagged(node, tag)) is not None})
        confirmed = finality.confirmed_up_to(cursor.number, tags)
        final = finality.final_up_to(cursor.number, tags)
        after_confirm = TRANSFER.next(ChainState.SEEN, ChainEvent.CONFIRM)
        after_final = TRANSFER.next(after_confirm, ChainEvent.FINALISE)
        with self._database.transaction() as session:
            self._fence(session)
            chain_id = cursor.chain_id
            for state, after, up_to in (
                (ChainState.SEEN, after_final, final),  # both steps at once: most transfers of a catch-up
                (after_confirm, after_final, final),
                (ChainState.SEEN, after_confirm, confirmed),
            ):
                done.moved += reach.move_up_to(session, chain_id, state, after, up_to, now)
            if finality.bands:
                bands = finality.bands_up_to(cursor.number, tags)
                done.moved += reach.confirm_small(session, chain_id, bands, self.chain.tokens, now)
            reach.set_reach(session, chain_id, confirmed, final, now)
            still = reach.still(session, chain_id, now)
            done.stalled = still if still.seconds >= self.chain.stall_seconds else None
            store.forget_blocks(session, chain_id, below=min(final, cursor.number - self.chain.reorg_blocks_max))


def _block(node: Node, which: int | str) -> Block:
    found = node.block(which)
    if found is None:
        raise Unavailable(f"{node.url} does not know block {which}")
    return found

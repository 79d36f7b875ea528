"""Catch-up over 20,000 blocks with 400,000 token transfers and 50,000 watched addresses: the watcher as in production,
with its store on PostgreSQL; against a client that only downloads the logs of the same ranges and decodes them. The
stored transfers are compared with those that are known to concern us."""

import gc
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import orjson
import psycopg
from requests import Session as Connections
from sqlalchemy import text

from benchmarks import blocks, postgres
from benchmarks.measure import Cost, Result, measured, memory, middle, note, require
from billing.chain.policy import Finality
from billing.chain.pool import Pool
from billing.chain.rpc import HttpNode
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Progress, Watcher
from billing.core.clock import ManualClock
from billing.core.onchain import TRANSFER_TOPIC, Address
from billing.db import embedded, migrate
from billing.db.engine import Database
from billing.wallets.watchlist import WatchList
from tests.factories import no_fence

NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
TARGET: Final = 1.5
REPEATS: Final = 5
BLOCKS, WATCHED = 20_000, 50_000
BLOCKS_SMALL, WATCHED_SMALL = 1_000, 2_000
CHAIN: Final = Chain(
    blocks.CHAIN_ID,
    "bench",
    tuple(
        Token(blocks.CHAIN_ID, symbol, address, 6)
        for symbol, address in zip(("USDC", "USDT"), blocks.TOKENS, strict=True)
    ),
    Finality(12, "finalized"),
    start=blocks.FIRST,
)


def run(small: bool = False) -> Result:
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = blocks.write(folder, BLOCKS_SMALL if small else BLOCKS, addresses(small))
        note(f"chain: wrote {made.logs:,} transfers in {made.blocks:,} blocks")
        server = embedded.start(folder / "pg")
        prepare(postgres.database(server, "template_chain"), addresses(small))
        plain: list[Cost[int]] = []
        lean: list[Cost[int]] = []
        ours: list[Cost[Progress]] = []
        with blocks.node(folder) as url:
            half = measured(catch_up, url, postgres.database(server, "half", "template_chain"), made.blocks // 3)
            for number in range(1 if small else REPEATS):
                database = postgres.database(server, f"chain_{number}", "template_chain")
                httpx.get(url)  # forgets what others asked for
                ours.append(measured(catch_up, url, database, None))
                spans = httpx.get(url).json()
                plain.append(measured(download, url, spans, True))
                lean.append(measured(download, url, spans, False))
                check(made, database, ours[-1].answer)
    return _result(made, ours, plain, lean, half, len(spans))


def _result(
    made: blocks.Stretch, ours: list[Cost[Progress]], plain: list[Cost[int]], lean: list[Cost[int]],
    part: Cost[Progress], answers: int,
) -> Result:  # fmt: skip
    result = Result(f"chain: catch-up over {made.blocks:,} blocks", TARGET, middle(ours), middle(plain))
    result.compare(ours, plain)
    result.say(f"{made.logs:,} transfers in {answers} answers; {len(made.expected):,} stored, each as expected")
    result.lean(ours, lean)
    result.say(f"peak memory after a third of the blocks {memory(part)}, after all {memory(middle(ours))}")
    return result


def addresses(small: bool) -> list[Address]:
    return blocks.watched_addresses(WATCHED_SMALL if small else WATCHED)


def prepare(url: str, watched: Sequence[Address]) -> None:
    """A database that gave out the watched addresses."""
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO wallet_generation (id, pin, mode, factory, implementation, init_code_hash, treasury,"
            " treasury_kind, flusher, next_index, created_at) OVERRIDING SYSTEM VALUE"
            " VALUES (1, '{}', 'forwarder', '', '', '', '', '', '', 0, %s)", (NOW,))  # fmt: skip
        columns = "address, kind, generation_id, salt, created_at"
        with connection.cursor().copy(f"COPY payment_address ({columns}) FROM STDIN") as copy:
            for address in watched:
                copy.write_row((address, "unissued", 1, "", NOW))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def catch_up(url: str, database_url: str, most: int | None) -> Callable[[], Progress]:
    """The watcher, from its first block to the head, or over `most` blocks. The list of addresses is loaded before: once
    a process, however far it is behind."""
    database, clock, watched = Database(database_url), ManualClock(NOW), WatchList()
    with database.transaction() as session:
        watched.refresh(session)
    watcher = Watcher(database, clock, CHAIN, Pool([HttpNode(url)], clock), watched, no_fence)
    return watcher.sync if most is None else lambda: watcher.tick(most)


def download(url: str, spans: list[tuple[int, int]], collecting: bool) -> Callable[[], int]:
    """What anybody would write: ask for the same ranges of logs, decode them, count them. Its work returns how many there
    were. `collecting` leaves Python's cycle collector on."""
    session = Connections()

    def work() -> int:
        if not collecting:
            gc.disable()
        logs = 0
        for first, last in spans:
            wanted = {
                "address": list(blocks.TOKENS),
                "topics": [TRANSFER_TOPIC],
                "fromBlock": hex(first),
                "toBlock": hex(last),
            }
            body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]})
            answer = orjson.loads(session.post(url, data=body, timeout=60).content)
            logs += len(answer["result"])
        return logs

    return work


def check(made: blocks.Stretch, url: str, progress: Progress) -> None:
    """Exactly the transfers that concern us are stored, each in the state that its age gives it."""
    head = blocks.BEFORE + made.blocks
    database = Database(url)
    with database.transaction() as session:
        rows = session.execute(text(
            "SELECT block_number, log_index, tx_hash, token_address, from_address, to_address, units::text, block_hash, state,"
            " incarnation, mined_at FROM transfer ORDER BY block_number, log_index"
        )).all()  # fmt: skip
    database.close()
    require(progress.behind == 0 and progress.blocks == made.blocks, f"the head was not reached: {progress}")
    require(
        progress.logs == made.logs and progress.zero_value == made.zero, f"other logs than were written: {progress}"
    )
    require([(*row[:6], int(row[6])) for row in rows] == made.expected, "other transfers are stored than were written")
    for row in rows:
        final, confirmed = row.block_number <= head - 64, row.block_number <= head - 11
        state = "final" if final else "confirmed" if confirmed else "seen"
        mined = datetime.fromtimestamp(blocks.STARTED, UTC) + timedelta(seconds=2 * (row.block_number - blocks.FIRST))
        found = (row.block_hash, row.state, row.incarnation, row.mined_at)
        wanted = (blocks.block_hash(row.block_number), state, 1, mined)
        require(found == wanted, f"a transfer is {found} instead of {wanted}")

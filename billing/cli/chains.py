"""`stablemeter chain`: follow chains, look closer, deploy the factory."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, progress, say, show, show_json
from billing.cli.options import AsJson, Why

if TYPE_CHECKING:
    from datetime import datetime

    from billing.bootstrap import App
    from billing.chain.store import Cursor
    from billing.chain.transfer import Transfer
    from billing.chain.watcher import Chain, Progress, Watcher

app = typer.Typer(help="Chains: sync, status, resume, rewind, inspect, presets, deploy-plan.", no_args_is_help=True)


@app.command()
def sync(name: Annotated[str, typer.Argument(help="Only this chain")] = "", as_json: AsJson = False) -> None:
    """Read every chain up to its head, then reconcile."""
    from billing.core.errors import StablemeterError

    rows: list[dict[str, Any]] = []
    with application() as one:
        for chain_id in ids(one, name):
            try:
                done, watcher = _read(one, chain_id)
            except StablemeterError as error:
                chain = next(chain.name for chain in one.chains if chain.chain_id == chain_id)
                raise type(error)(f"chain {chain}: {error.what}", remedy=error.remedy) from None
            told = (
                f"{watcher.chain.name}: {done.blocks} blocks, {done.transfers} transfers, {done.reorgs} reorganisations"
            )
            if not as_json:
                typer.echo(told)
            row = {"blocks": done.blocks, "transfers": done.transfers, "reorganisations": done.reorgs}
            rows.append({"chain": watcher.chain.name, **row})
        settled = one.reconciler.tick()
    told = f"{settled.booked} booked, {settled.reversed} taken back, {settled.exceptions} wait for a person"
    facts = {"booked": settled.booked, "reversed": settled.reversed, "exceptions": settled.exceptions}
    say(told, as_json, chains=rows, **facts)


def _read(one: "App", chain_id: int) -> "tuple[Progress, Watcher]":
    from rich.progress import TextColumn

    one.check_chain(chain_id)
    watcher = one.watchers[chain_id]
    with progress(TextColumn("{task.description}")) as bar:
        task = bar.add_task(f"{watcher.chain.name}: reading")

        def tell(p: "Progress") -> None:
            bar.update(task, description=f"{watcher.chain.name}: {p.blocks} blocks read, {p.behind} left")

        return watcher.sync(tell), watcher


def ids(one: "App", name: str) -> list[int]:
    from billing.core.errors import NotFound

    found = [chain.chain_id for chain in one.chains if name in ("", chain.name, str(chain.chain_id))]
    if not found:
        raise NotFound(f"no chain {name} is configured" if name else "no chain is configured", remedy="see [[chains]]")
    return found


@app.command()
def status(
    live: Annotated[bool, typer.Option("--live", help="Ask each endpoint for its newest block too")] = False,
    as_json: AsJson = False,
) -> None:
    """How far each chain was read, and whether it waits for a person."""
    from billing.chain import store

    with application() as one:
        accepted = one.accepter.accepted()
        with one.database.transaction() as session:
            known = {row["chain_id"]: row for row in store.cursors(session)}
        rows: list[dict[str, Any]] = []
        for chain in one.chains:
            row = known.get(chain.chain_id, {})
            rows.append(
                {
                    "chain": chain.name,
                    "chain_id": chain.chain_id,
                    "block": row.get("cursor_number"),
                    "mined_at": row.get("cursor_mined_at"),
                    "final": row.get("final_number"),
                    "proven": row.get("proven"),
                    "final_since": row.get("final_moved_at"),
                    "stalled": _stalled(one, chain, bool(row)),
                    "wallet": "accepted" if chain.chain_id in accepted else "not accepted",
                    "reads_again_from": row.get("rewind_to"),
                    "stopped": row.get("stopped", ""),
                }
            )
        if live:
            for row in rows:
                row["endpoints"] = _endpoints(one, row["chain_id"])
    columns = (
        "chain", "chain_id", "block", "mined_at", "final", "final_since", "stalled", "proven", "wallet", "reads_again_from",
        "stopped",
    )  # fmt: skip
    show(rows, columns, as_json=as_json, empty="no chain is configured")
    if live and not as_json:
        told = [{"chain": row["chain"], **endpoint} for row in rows for endpoint in row["endpoints"]]
        show(told, ("chain", "endpoint", "block", "age_seconds", "error"), as_json=False, empty="")
    if any(row["stopped"] for row in rows):
        raise typer.Exit(1)


def _stalled(one: "App", chain: "Chain", is_followed: bool) -> str:
    """What stands still for too long, by which rule, since when; empty while nothing does."""
    from billing.chain.store import reach

    if not is_followed:
        return ""
    with one.database.transaction() as session:
        still = reach.still(session, chain.chain_id, one.clock.now())
    if still.seconds < chain.stall_seconds:
        return ""
    return f"{still.height} ({chain.finality.rule_of(still.height)}) for {still.seconds} s"


def _endpoints(one: "App", chain_id: int) -> list[dict[str, Any]]:
    """What each endpoint says now. One that fails does not hide the others."""
    from billing.core.errors import StablemeterError

    found: list[dict[str, Any]] = []
    for endpoint in one.watchers[chain_id].pool.endpoints:
        told: dict[str, Any] = {"endpoint": endpoint.node.url, "block": None, "age_seconds": None, "error": ""}
        try:
            other = endpoint.node.chain_id()
            head = endpoint.node.block("latest")
            if other != chain_id:
                told["error"] = f"is of chain {other}"
            elif head is not None:
                age = (one.clock.now() - head.mined_at).total_seconds()
                told |= {"block": head.number, "age_seconds": int(age)}
        except StablemeterError as error:
            told["error"] = str(error)
        found.append(told)
    return found


@app.command()
def resume(name: Annotated[str, typer.Argument(help="The chain")], reason: Why) -> None:
    """Follow a stopped chain again, after a person looked. It stops again when the chain is still another one."""
    from billing.chain import store
    from billing.trail.store import Deed, record

    with application() as one:
        (chain_id,) = ids(one, name)
        with one.database.transaction() as session:
            why = store.resume(session, chain_id, one.clock.now())
            record(session, Deed(one.clock.now(), actor(), "chain.resume", name, reason, {"stopped": why}))
    typer.echo(f"{name} is followed again; it was stopped: {why}")


@app.command()
def rewind(
    name: Annotated[str, typer.Argument(help="The chain")],
    reason: Why,
    to_block: Annotated[
        int | None, typer.Option("--to-block", min=0, help="The last block that is not read again")
    ] = None,
    to_time: Annotated[str, typer.Option("--to-time", help="Read again what was mined from then on (RFC 3339)")] = "",
) -> None:
    """Read a chain again, and take back what is not on it any more, even if it was final. For a chain that stopped because too
    much of it was reorganised. Nothing is forgotten: what is still there stays as it is booked."""
    from billing.chain import store
    from billing.core.errors import Conflict, Invalid
    from billing.core.period import parse_time, rfc3339
    from billing.trail.store import Deed, record

    if (to_block is None) == (not to_time):
        raise Invalid("give either --to-block or --to-time")
    with application() as one:
        (chain_id,) = ids(one, name)
        with one.database.transaction() as session:
            cursor = store.cursor(session, chain_id)
        if cursor is None:
            raise Conflict(f"{name} was never read", remedy="stablemeter chain sync")
        to = parse_time(to_time) if to_block is None else _mined_after(one, chain_id, to_block, cursor)
        if to > cursor.mined_at:
            raise Invalid(f"{name} was read up to {rfc3339(cursor.mined_at)} only")
        with one.database.transaction() as session:
            why = store.rewind_by_hand(session, chain_id, to, one.clock.now())
            details = {"to": rfc3339(to), "was_at": str(cursor.number), "stopped": why}
            record(session, Deed(one.clock.now(), actor(), "chain.rewind", name, reason, details))
    typer.echo(
        f"{name} is read again from {rfc3339(to)} on: by the daemon at its next look, or by: stablemeter chain sync"
    )


def _mined_after(one: "App", chain_id: int, number: int, cursor: "Cursor") -> "datetime":
    """When the block after a block was mined, as an endpoint tells it now."""
    from billing.core.errors import Invalid, Unavailable

    if not cursor.start - 1 <= number < cursor.number:
        raise Invalid(f"block {number} is not among those that were read: {cursor.start} to {cursor.number}")
    block = one.watchers[chain_id].pool.ask(lambda node: node.block(number + 1))
    if block is None:
        raise Unavailable(f"no endpoint knows block {number + 1}", remedy="wait, or use --to-time")
    return block.mined_at


def _seen(one: "Transfer") -> dict[str, Any]:
    from billing.core.onchain import checksum

    return {
        "chain_id": one.chain_id,
        "block": one.block_number,
        "tx_hash": one.tx_hash,
        "log_index": one.log_index,
        "token": checksum(one.token),
        "from": checksum(one.sender),
        "to": checksum(one.receiver),
        "units": str(one.units),
        "state": one.state.value,
        "incarnation": one.incarnation,
    }


@app.command()
def inspect(
    what: Annotated[str, typer.Argument(help="An address or a transaction hash")],
    live: Annotated[
        bool, typer.Option("--live", help="Ask the chains too: balances, and what any contract sent there lately")
    ] = False,
    blocks: Annotated[int, typer.Option("--blocks", min=1, max=100_000, help="With --live: how far back")] = 5_000,
    as_json: AsJson = False,
) -> None:
    """Everything known about an address or a transaction."""
    from billing.chain import store
    from billing.core.onchain import parse_address, parse_hash
    from billing.invoicing import store as invoicing
    from billing.invoicing.store import deposits
    from billing.wallets import store as wallets

    is_hash = len(what) == 66
    with application() as one:
        with one.database.transaction() as session:
            transfers = (
                store.of_transaction(session, parse_hash(what))
                if is_hash
                else store.of_address(session, parse_address(what))
            )
            known = None if is_hash else wallets.known(session, parse_address(what))
            invoice = invoicing.by_id(session, known.invoice_id) if known and known.invoice_id else None
            deposit = deposits.by_id(session, known.deposit_id) if known and known.deposit_id else None
        found: dict[str, Any] = {
            "what": what,
            "is": (known.kind if known else "not an address of ours") if not is_hash else "transaction",
            "invoice": invoice.number if invoice else None,
            "deposit": deposit.number if deposit else None,
            "tenant": payee.tenant if (payee := invoice or deposit) else None,
            "transfers": [_seen(t) for t in transfers],
        }
        if live and not is_hash:
            found["chains"] = [_look(watcher, what, blocks) for watcher in one.watchers.values()]
    if as_json:
        show_json(found)
        return
    of = f", invoice {invoice.number}" if invoice else f" {deposit.number} of {deposit.tenant}" if deposit else ""
    typer.echo(f"{what}: {found['is']}{of}")
    show(found["transfers"], ("chain_id", "block", "log_index", "units", "state", "incarnation", "from", "to", "tx_hash"),
         as_json=False, empty="no transfers seen")  # fmt: skip
    for row in found.get("chains", []):
        held = ", ".join(f"{one['amount']} {one['token']}" for one in row["balances"])
        typer.echo(f"{row['chain']}: {held}; {'has code' if row['deployed'] else 'no code'}")
        show(row["logs"], ("block", "log_index", "listing", "token", "units", "tx_hash"), as_json=False,
             empty=f"no token was sent there since block {row['since_block']}")  # fmt: skip


def _look(watcher: "Watcher", address: str, blocks: int) -> dict[str, Any]:
    """What one chain says of an address now."""
    from billing.chain.balances import NATIVE
    from billing.chain.inspector import inspect as look
    from billing.core.money import decimal_text
    from billing.core.onchain import checksum, parse_address

    chain = watcher.chain
    found = watcher.pool.ask(lambda node: look(node, chain, parse_address(address), blocks))
    names = {token.address: (token.symbol, token.decimals) for token in chain.tokens} | {NATIVE: ("native coin", 18)}
    return {
        "chain": chain.name,
        "deployed": found.deployed,
        "balances": [
            {"token": names[token][0], "amount": "unknown" if units is None else decimal_text(units, names[token][1])}
            for token, units in found.balances.items()
        ],
        "since_block": found.since,
        "logs": [
            {
                "block": one.block,
                "log_index": one.log_index,
                "listing": one.listing or "nobody listens to it",
                "token": checksum(one.token),
                "units": str(one.units),
                "tx_hash": one.tx_hash,
            }
            for one in found.said
        ],
    }


@app.command()
def presets(as_json: AsJson = False) -> None:
    """The networks that `preset` in [[chains]] knows, with their tokens."""
    from billing.settings.presets import presets as known

    rows = [
        {
            "preset": name,
            "chain_id": one["chain_id"],
            "finality": one["finality"],
            "token": token["symbol"],
            "address": token["address"],
            "decimals": token["decimals"],
        }
        for name, one in known().items()
        for token in one["tokens"]
    ]
    show(rows, ("preset", "chain_id", "finality", "token", "address", "decimals"), as_json=as_json, empty="none")


@app.command("deploy-plan")
def deploy_plan(name: Annotated[str, typer.Argument(help="The chain")], as_json: AsJson = False) -> None:
    """The exact transaction that deploys the wallet's factory. Anybody may send it; nothing is sent from here."""
    from billing.core.errors import Invalid
    from billing.core.onchain import ZERO_ADDRESS, checksum
    from billing.wallets.forwarder import Treasury, deployment
    from billing.wallets.wallet import ForwarderWallet, TreasuryKind

    with application(schema=False) as one:
        wallet = one.wallet
        if not isinstance(wallet, ForwarderWallet):
            raise Invalid("only a forwarder wallet has a factory", remedy="set wallet.treasury")
        (chain_id,) = ids(one, name)[:1]
        watcher = one.watchers[chain_id]
        to, data = deployment(Treasury(wallet.treasury, wallet.flusher, wallet.treasury_kind is TreasuryKind.CONTRACT))
        has_proxy = bool(watcher.pool.ask(lambda node: node.code(to)))
        deployed = bool(watcher.pool.ask(lambda node: node.code(wallet.factory)))
    plan = {
        "chain": watcher.chain.name,
        "chain_id": chain_id,
        "to": checksum(to),
        "value": "0",
        "data": "0x" + data.hex(),
        "factory": checksum(wallet.factory),
        "implementation": checksum(wallet.implementation),
        "treasury": checksum(wallet.treasury),
        "treasury_kind": wallet.treasury_kind.value,
        "flusher": "anyone" if wallet.flusher == ZERO_ADDRESS else checksum(wallet.flusher),
        "deployed": deployed,
    }
    if not has_proxy:
        raise Invalid(
            f"{watcher.chain.name} has no deterministic deployment proxy at {checksum(to)}",
            remedy="deploy it there first",
        )
    if as_json:
        show_json(plan)
        return
    for key, value in plan.items():
        typer.echo(f"{key}: {value}")

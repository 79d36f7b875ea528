"""`stablemeter payee` and `stablemeter refund`: who may be paid, what is owed back, and the plan that pays it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import actor, application, say, show, show_json
from billing.cli.options import AsJson, Reason, write_file

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.chain.watcher import Chain
    from billing.core.onchain import Address
    from billing.treasury.payee import Payee
    from billing.treasury.repayer import RefundPlan

payees = typer.Typer(help="Addresses that tenants are paid at: propose, confirm, revoke, list.", no_args_is_help=True)
app = typer.Typer(help="Money that is owed back: list, credit, plan, paid.", no_args_is_help=True)

Id = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="Its id")]


@payees.command()
def propose(
    tenant: Annotated[str, typer.Argument(help="Whose address it is")],
    address: Annotated[
        str, typer.Argument(help="Where the tenant wants to be paid; never one that you only saw money come from")
    ],
    chain: Annotated[str, typer.Option(help="The chain")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Name an address. Somebody else must confirm it before anything is planned to it."""
    with application() as one:
        found = one.cashier.propose(tenant, _chain(one, chain).chain_id, address, reason=reason, actor=actor())
    told = f"payee {found.id} is proposed; somebody else confirms it: stablemeter payee confirm {found.id}"
    say(told, as_json, id=found.id, tenant=tenant, chain=chain, address=address)


@payees.command()
def confirm(number: Id, reason: Reason) -> None:
    """Confirm an address that somebody else proposed, after asking the tenant on another way."""
    with application() as one:
        found = one.cashier.confirm(number, reason=reason, actor=actor())
    typer.echo(f"payee {number} is confirmed for {found.tenant}, proposed by {found.proposed_by}")


@payees.command()
def revoke(number: Id, reason: Reason) -> None:
    """Plan nothing to an address any more."""
    with application() as one:
        one.cashier.revoke(number, reason=reason, actor=actor())
    typer.echo(f"payee {number} is revoked")


@payees.command("list")
def list_payees(
    everything: Annotated[bool, typer.Option("--all", help="Revoked ones too")] = False, as_json: AsJson = False
) -> None:
    """Who may be paid where, and who said so."""
    from billing.treasury.store import payees as store

    with application() as one:
        with one.database.transaction() as session:
            found = store.listed(session, everything=everything)
        rows = [_payee(one, payee) for payee in found]
    columns = ("id", "tenant", "chain", "address", "state", "proposed_by", "confirmed_by", "reason")
    show(rows, columns, as_json=as_json, empty="no payees")


def _payee(one: "App", payee: "Payee") -> dict[str, Any]:
    from dataclasses import asdict

    from billing.core.onchain import checksum

    row = asdict(payee)
    del row["tenant_id"]
    return {**row, "chain": _name(one, payee.chain_id), "address": checksum(payee.address), "state": payee.state.value}


def _chain(one: "App", name: str) -> "Chain":
    from billing.core.errors import NotFound

    for chain in one.chains:
        if name in (chain.name, str(chain.chain_id)):
            return chain
    raise NotFound(f"no chain {name} is configured", remedy="see [[chains]]")


def _name(one: "App", chain_id: int) -> str:
    return next((chain.name for chain in one.chains if chain.chain_id == chain_id), str(chain_id))


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Paid ones too, and those whose money is gone")] = False,
    as_json: AsJson = False,
) -> None:
    """What is owed back, to whom, and where they may be paid."""
    from billing.chain.store import tokens
    from billing.core.money import decimal_text
    from billing.core.onchain import checksum
    from billing.reconciliation.store import refunds
    from billing.treasury.store import payees as store

    with application() as one:
        with one.database.transaction() as session:
            found = refunds.listed(session, state=None if everything else refunds.OWED)
            known = tokens.known(session)
            homes = {chain: store.confirmed(session, chain) for chain in {row["chain_id"] for row in found}}
        for row in found:
            token = known[row["chain_id"], row["token_address"]]
            home = homes[row["chain_id"]].get(row.pop("tenant_id"))
            row["amount"], row["token"] = decimal_text(row["units"], token.decimals), token.symbol
            row["amount_units"], row["chain"] = str(row.pop("units")), _name(one, row["chain_id"])
            row["payee"] = checksum(home.address) if home else None
            del row["value_units"], row["currency"]
    columns = ("id", "tenant", "amount", "token", "chain", "state", "payee", "invoice", "reason", "paid_in")
    show(found, columns, as_json=as_json, empty="nothing is owed back")


@app.command()
def credit(
    tenant: Annotated[str, typer.Argument(help="Whose credit it is")],
    amount: Annotated[str, typer.Argument(help="How much of it, in the invoices' currency: 50.00")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Owe a tenant's credit back in the tokens that it came in. It cannot be used on invoices any more."""
    with application() as one:
        done = one.refunder.owe_credit(tenant, amount, reason=reason, actor=actor())
    say(f"owed back: {done}", as_json, tenant=tenant, owed=done)


@app.command()
def paid(
    number: Id,
    tx: Annotated[str, typer.Option("--tx", help="The transaction in which the treasury sent it")],
    reason: Annotated[str, typer.Option(help="A remark for the audit trail")] = "",
) -> None:
    """Link the treasury's transfer that paid a refund. It must be final, to a confirmed payee, and exactly what is owed."""
    from billing.core.onchain import parse_hash

    tx_hash = parse_hash(tx)
    with application() as one:
        done = one.repayer.paid(number, tx_hash, actor=actor(), reason=reason)
    typer.echo(f"refund {number} is paid: {done}")


@app.command()
def plan(
    chain: Annotated[str, typer.Argument(help="The chain")],
    output: Annotated[Path | None, typer.Option("--output", help="Write a file for Safe's Transaction Builder")] = None,
    as_json: AsJson = False,
) -> None:
    """The exact transactions that pay what is owed back on a chain, to confirmed payees only. Nothing is sent from here."""
    from billing.core.errors import Conflict
    from billing.treasury.safe import builder_file
    from billing.wallets.wallet import ForwarderWallet

    with application() as one:
        wanted = _chain(one, chain)
        treasury = one.wallet.treasury if isinstance(one.wallet, ForwarderWallet) else None
        found, now = one.repayer.plan(one.watchers[wanted.chain_id], treasury), one.clock.now()
    if output is not None:
        if not found.payouts:
            raise Conflict("nothing can be planned", remedy="see: stablemeter refund list")
        about = (
            f"Refunds {wanted.name}",
            "Pays refunds to payees that two people confirmed. Compare it: stablemeter refund list",
        )
        calls = [(one.to, one.data) for one in found.payouts]
        write_file(output, [builder_file(wanted.chain_id, treasury, about, calls, now)])
    if as_json:
        show_json(_json(found, wanted))
    else:
        _tell(found, wanted)


def _json(found: "RefundPlan", chain: "Chain") -> dict[str, Any]:
    from billing.core.onchain import checksum
    from billing.treasury.payout import GAS_TRANSFER

    return {
        "chain": chain.name,
        "chain_id": chain.chain_id,
        "transactions": [
            {
                "refund": one.refund,
                "tenant": one.tenant,
                "payee": checksum(one.payee),
                "token": checksum(one.token),
                "amount_units": str(one.units),
                "to": checksum(one.to),
                "value": "0",
                "data": "0x" + one.data.hex(),
                "gas": estimate or GAS_TRANSFER,
                "gas_estimated": estimate,
            }
            for one, estimate in zip(found.payouts, found.estimates, strict=True)
        ],
        "without_payee": [
            {"refund": refund, "tenant": tenant or None, "token": checksum(token), "amount_units": str(units)}
            for refund, tenant, token, units in found.homeless
        ],
        "refused": [{"refund": refund, "reason": why} for refund, why in found.refused],
        "treasury_lacks": [
            {"token": checksum(token), "amount_units": str(units)} for token, units in found.short.items()
        ],
    }


def _tell(found: "RefundPlan", chain: "Chain") -> None:
    from billing.core.money import decimal_text
    from billing.core.onchain import checksum
    from billing.treasury.payout import GAS_TRANSFER

    names = {token.address: (token.symbol, token.decimals) for token in chain.tokens}

    def amount(token: "Address", units: int) -> str:
        symbol, decimals = names.get(token, (checksum(token), 0))
        return f"{decimal_text(units, decimals)} {symbol}"

    rows = [
        {
            "refund": one.refund,
            "tenant": one.tenant,
            "amount": amount(one.token, one.units),
            "payee": checksum(one.payee),
            "gas": estimate or GAS_TRANSFER,
        }
        for one, estimate in zip(found.payouts, found.estimates, strict=True)
    ]
    show(rows, ("refund", "tenant", "amount", "payee", "gas"), as_json=False, empty="nothing can be paid back")
    for refund, tenant, token, units in found.homeless:
        typer.echo(
            f"refund {refund}: {amount(token, units)} for {tenant or 'somebody unknown'} have no confirmed payee"
        )
    for refund, why in found.refused:
        typer.echo(f"refund {refund} is left out: {why}")
    for token, units in found.short.items():
        typer.echo(f"the treasury lacks {amount(token, units)}: sweep first")
    for one, estimate in zip(found.payouts, found.estimates, strict=True):
        if estimate is None:
            typer.echo(f"refund {one.refund}: no endpoint estimates it; it may revert")

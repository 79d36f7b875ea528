"""`stablemeter owner`, the part that pays: payees, payout plans, and what was paid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli.context import actor, application, say, show, show_json
from billing.cli.options import AsJson, Why, write_file

if TYPE_CHECKING:
    from billing.bootstrap import App
    from billing.chain.tokens import Token
    from billing.chain.watcher import Chain

Place = Annotated[str, typer.Argument(help="The chain")]
To = Annotated[str, typer.Argument(help="The address, 0x and 40 hex digits")]


def payee(name: str, chain: Place, address: To, reason: Why, as_json: AsJson = False) -> None:
    """Propose where an owner is paid on a chain. It counts once somebody else confirmed it."""
    from billing.core.onchain import checksum, parse_address

    place = parse_address(address)
    with application() as one:
        one.payer.propose(name, _chain(one, chain).chain_id, place, reason=reason, actor=actor())
    told = f"owner {name}: {checksum(place)} is proposed; somebody else confirms it: owner confirm-payee"
    say(told, as_json, owner=name, chain=chain, address=checksum(place))


def confirm_payee(name: str, chain: Place, address: To, reason: Why) -> None:
    """Confirm an address that somebody else proposed. Get it from the owner anew; do not copy what was proposed."""
    from billing.core.onchain import checksum, parse_address

    place = parse_address(address)
    with application() as one:
        one.payer.confirm(name, _chain(one, chain).chain_id, place, reason=reason, actor=actor())
    typer.echo(f"owner {name} is paid at {checksum(place)} on {chain} from now on")


def payees(name: Annotated[str, typer.Argument(help="Only this owner's")] = "", as_json: AsJson = False) -> None:
    """Where owners are paid, and were: who proposed it, and who confirmed it."""
    from billing.core.onchain import checksum

    with application() as one:
        names = {chain.chain_id: chain.name for chain in one.chains}
        rows = [
            {
                "owner": found.owner,
                "chain": names.get(found.chain_id, str(found.chain_id)),
                "address": checksum(found.address),
                "proposed_by": found.proposed_by,
                "proposed_at": found.proposed_at,
                "confirmed_by": found.confirmed_by or None,
                "confirmed_at": found.confirmed_at,
                "ended_at": found.ended_at,
            }
            for found in one.payer.payees(name)
        ]
    columns = ("owner", "chain", "address", "proposed_by", "confirmed_by", "confirmed_at", "ended_at")
    show(rows, columns, as_json=as_json, empty="no payees yet")


def payout_plan(
    chain: Place,
    token: Annotated[str, typer.Option("--token", help="The token to pay in, at par")],
    owner: Annotated[list[str] | None, typer.Option("--owner", help="Only this owner; repeat")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write a file for Safe's Transaction Builder")] = None,
    as_json: AsJson = False,
) -> None:
    """What owners are owed, as transfers from the treasury to their confirmed addresses. Nothing is sent from here."""
    from billing.core.errors import Conflict
    from billing.core.money import decimal_text
    from billing.core.onchain import checksum
    from billing.treasury.safe import builder_file

    with application() as one:
        wanted, now = _token(_chain(one, chain), token), one.clock.now()
        found = one.payer.plan(wanted, owner or [])
    if output is not None:
        if not found.payouts:
            raise Conflict("there is nobody to pay, so there is no file", remedy="look at the plan without --output")
        about = (f"Payout to owners on {chain}", "Pays owners of GPUs. Compare addresses and amounts with the plan.")
        calls = [(wanted.address, each.data) for each in found.payouts]
        write_file(output, [builder_file(wanted.chain_id, found.treasury, about, calls, now)])
    rows = [
        {
            "owner": each.owner,
            "address": checksum(each.to),
            "token": wanted.symbol,
            "amount": decimal_text(each.units, wanted.decimals),
            "amount_units": str(each.units),
            "to": checksum(wanted.address),
            "value": "0",
            "data": "0x" + each.data.hex(),
        }
        for each in found.payouts
    ]
    if as_json:
        show_json(
            {
                "chain": chain,
                "chain_id": wanted.chain_id,
                "treasury": checksum(found.treasury),
                "token": wanted.symbol,
                "amount_units": str(found.units),
                "treasury_units": str(found.held),
                "transactions": rows,
                "left_out": [{"owner": name, "reason": why} for name, why in found.left_out],
            }
        )
        return
    show(rows, ("owner", "address", "token", "amount"), as_json=False, empty="there is nobody to pay")
    for name, why in found.left_out:
        typer.echo(f"{name} {why}")
    if found.units > found.held:
        held = decimal_text(found.held, wanted.decimals)
        typer.echo(f"the treasury holds {held} {wanted.symbol} by the books, which is not enough: sweep first")


def paid(
    name: str,
    transaction: Annotated[str, typer.Argument(help="The transaction in which the treasury paid")],
    reason: Why,
) -> None:
    """Mark what the treasury sent to an owner as paid out. When the chain takes it back, so do the books."""
    from billing.core.onchain import parse_hash

    with application() as one:
        amount = one.payer.paid(name, parse_hash(transaction), reason=reason, actor=actor())
    typer.echo(f"owner {name} was paid {amount}")


def _chain(one: "App", name: str) -> "Chain":
    from billing.core.errors import NotFound

    for chain in one.chains:
        if name in (chain.name, str(chain.chain_id)):
            return chain
    raise NotFound(f"no chain {name} is configured", remedy="see [[chains]]")


def _token(chain: "Chain", symbol: str) -> "Token":
    from billing.chain.tokens import Listing
    from billing.core.errors import NotFound

    for token in chain.tokens:
        if token.symbol == symbol and token.listing is Listing.ACCEPT:
            return token
    raise NotFound(f"{chain.name} has no token {symbol} that is accepted", remedy="see [[chains.tokens]]")


def add_to(app: typer.Typer) -> None:
    app.command()(payee)
    app.command("confirm-payee")(confirm_payee)
    app.command()(payees)
    app.command("payout-plan")(payout_plan)
    app.command()(paid)

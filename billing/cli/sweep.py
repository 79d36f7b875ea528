"""`stablemeter sweep` and `stablemeter treasury`: bring money to the treasury, and check such a plan before signing it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billing.cli.context import application, show, show_json
from billing.cli.options import AsJson, read_bytes, write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from billing.chain.watcher import Chain
    from billing.core.onchain import Address
    from billing.treasury.planner import SweepPlan
    from billing.treasury.safe import Checked, Paid

app = typer.Typer(help="Plans that bring money to the treasury: plan.", no_args_is_help=True)
treasury = typer.Typer(help="For the treasury's signers: verify.", no_args_is_help=True)


@app.command()
def plan(
    chain: Annotated[str, typer.Argument(help="The chain")],
    token: Annotated[list[str] | None, typer.Option("--token", help="Only this token; repeat")] = None,
    minimum: Annotated[str, typer.Option("--min", help="Leave addresses that hold less of a token")] = "1",
    pin: Annotated[list[str] | None, typer.Option("--pin", help="Only the wallet with this pin; repeat")] = None,
    with_suspense: Annotated[
        bool, typer.Option("--with-suspense", help="Also addresses whose money waits for a person")
    ] = False,
    coin: Annotated[
        bool,
        typer.Option("--coin", help="Also native coin that was sent to payment addresses, where it is worth its gas"),
    ] = False,
    native_price: Annotated[
        str,
        typer.Option(
            "--native-price",
            help="What a native coin is worth in the tokens' currency: leave out tokens that cost more gas than they are worth",
        ),
    ] = "",
    max_salts: Annotated[int, typer.Option("--max-salts", min=1, max=250, help="Addresses in one transaction")] = 250,
    output: Annotated[Path | None, typer.Option("--output", help="Write a file for Safe's Transaction Builder")] = None,
    as_json: AsJson = False,
) -> None:
    """What final money lies on payment addresses, and the exact transactions that flush it. Nothing is sent from here."""
    from billing.core.errors import Conflict
    from billing.core.onchain import parse_hash
    from billing.treasury.planner import Wish
    from billing.treasury.safe import safe_file

    with application() as one:
        watcher = next(watcher for watcher in one.watchers.values() if watcher.chain.chain_id == _id(one.chains, chain))
        least = _least(watcher.chain, token or [], minimum)
        pins = frozenset(parse_hash(text) for text in pin or [])
        wish = Wish(least, pins, with_suspense, max_salts, coin, _price(native_price))
        found, now = one.planner.plan(watcher, wish), one.clock.now()
    if output is not None:
        wallets = {batch.wallet.pin() for batch in found.batches}
        if len(wallets) > 1:
            raise Conflict(
                f"the plan has transactions of {len(wallets)} wallets, and a file is signed by one",
                remedy=f"one file each: --pin {sorted(wallets)[0]}",
            )
        write_file(output, [safe_file(watcher.chain.chain_id, found.batches, f"Sweep {watcher.chain.name}", now)])
    if as_json:
        show_json(_json(found, watcher.chain))
    else:
        _tell(found, watcher.chain)


def _id(chains: "list[Chain]", name: str) -> int:
    from billing.core.errors import NotFound

    found = [one.chain_id for one in chains if name in (one.name, str(one.chain_id))]
    if not found:
        raise NotFound(f"no chain {name} is configured", remedy="see [[chains]]")
    return found[0]


def _least(chain: "Chain", symbols: list[str], minimum: str) -> "dict[Address, int]":
    """{token address: least units} of the tokens that are wanted."""
    from billing.core.errors import Invalid, NotFound
    from billing.core.money import parse_units

    unknown = set(symbols) - {token.symbol for token in chain.tokens}
    if unknown:
        raise NotFound(f"{chain.name} has no token {', '.join(sorted(unknown))}", remedy="see [[chains.tokens]]")
    least = {
        token.address: parse_units(minimum, token.asset).units
        for token in chain.tokens
        if not symbols or token.symbol in symbols
    }
    if any(units < 0 for units in least.values()):
        raise Invalid(f"--min {minimum} is negative")
    return least


def _price(text: str) -> "Decimal | None":
    """Raises Invalid for what is no price."""
    from decimal import Decimal

    from billing.core.errors import Invalid

    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or Decimal(text) <= 0:
        raise Invalid(f"--native-price {text} is no price", remedy="write it like 2500.00")
    return Decimal(text)


def _names(chain: "Chain") -> "dict[Address, tuple[str, int]]":
    """{token address: (symbol, decimals)}, native coin included."""
    from billing.chain.balances import NATIVE
    from billing.treasury.sweep import COIN_DECIMALS

    return {token.address: (token.symbol, token.decimals) for token in chain.tokens} | {NATIVE: ("coin", COIN_DECIMALS)}


def _json(found: "SweepPlan", chain: "Chain") -> dict[str, Any]:
    from billing.core.onchain import ZERO_ADDRESS, checksum

    names = {address: symbol for address, (symbol, _) in _names(chain).items()}

    def shown(one: Any) -> dict[str, Any]:
        index = {} if one.hd_index is None else {"derivation": f"0/{one.hd_index}"}
        kept = {"address": checksum(one.address), "token": names[one.token], "amount_units": str(one.units)}
        return {**kept, "invoice": one.invoice or None, **index}

    return {
        "chain": chain.name,
        "chain_id": chain.chain_id,
        "final_block": found.final,
        "gas_price": str(found.gas_price),
        "gas": found.gas,
        "cost_units": str(found.cost),
        "transactions": [
            {
                "to": checksum(one.to),
                "value": "0",
                "data": "0x" + one.data.hex(),
                "gas_limit": limit,
                "gas_limit_estimated": estimate,
                "gas": one.gas,
                "sender": "anyone" if one.wallet.flusher == ZERO_ADDRESS else checksum(one.wallet.flusher),
                "treasury": checksum(one.wallet.treasury),
                "token": names[one.token],
                "amount_units": str(one.units),
                "deposits": [{**shown(deposit), "salt": deposit.salt} for deposit in one.deposits],
            }
            for one, limit, estimate in zip(found.batches, found.limits, found.estimates, strict=True)
        ],
        "by_hand": [shown(one) for one in found.by_hand],
        "too_small": [shown(one) for one in found.small],
        "not_worth_the_gas": [shown(one) for one in found.dear],
        "waits_for_a_person": [shown(one) for one in found.suspended],
        "held": [shown(one) for one in found.held],
        "different_on_chain": [
            {"address": checksum(address), "token": names[token], "transfers_units": str(a), "chain_units": str(b)}
            for (address, token), (a, b) in found.different.items()
        ],
        "unreadable": [{"address": checksum(address), "token": names[token]} for address, token in found.unread],
    }


def _tell(found: "SweepPlan", chain: "Chain") -> None:
    from billing.core.money import decimal_text
    from billing.core.onchain import checksum

    tokens = _names(chain)

    def amount(token: "Address", units: int) -> str:
        symbol, decimals = tokens[token]
        return f"{decimal_text(units, decimals)} {symbol}"

    rows = [
        {
            "to": checksum(one.to),
            "token": tokens[one.token][0],
            "amount": decimal_text(one.units, tokens[one.token][1]),
            "addresses": len(one.deposits),
            "gas": one.gas,
            "gas_limit": limit,
        }
        for one, limit in zip(found.batches, found.limits, strict=True)
    ]
    columns = ("to", "token", "amount", "addresses", "gas", "gas_limit")
    show(rows, columns, as_json=False, empty="nothing is worth flushing")
    if found.batches:
        typer.echo(f"about {decimal_text(found.cost, 18)} of {chain.name}'s coin at the present gas price")
    _warn(found)
    for one in found.by_hand:
        typer.echo(f"by its key: {amount(one.token, one.units)} at {checksum(one.address)}, index 0/{one.hd_index}")
    if found.small:
        typer.echo(f"{len(found.small)} addresses hold less than --min")
    if found.dear:
        typer.echo(f"{len(found.dear)} addresses hold less than their gas costs")
    if found.suspended:
        typer.echo(f"{len(found.suspended)} addresses wait for a person and are left out (--with-suspense takes them)")
    if found.held:
        typer.echo(
            f"{len(found.held)} addresses hold money whose sender is on a list, or was not screened yet: left out"
        )
    for (address, token), (stored, there) in found.different.items():
        typer.echo(f"{checksum(address)}: transfers say {amount(token, stored)}, the chain {amount(token, there)}")


def _warn(found: "SweepPlan") -> None:
    """Where a node knows better than the measured table, and where a token tells nothing."""
    from billing.core.onchain import checksum
    from billing.treasury.sweep import GAS_LIMIT_MAX

    for position, (one, limit, estimate) in enumerate(
        zip(found.batches, found.limits, found.estimates, strict=True), 1
    ):
        if estimate is None:
            typer.echo(f"transaction {position}: no endpoint estimates it; it may revert")
        elif limit > one.gas_limit:
            fewer = "; many chains allow less: take fewer with --max-salts" if limit > GAS_LIMIT_MAX else ""
            typer.echo(f"transaction {position} needs more gas than a plain token does{fewer}")
    for address, token in found.unread:
        typer.echo(f"{checksum(address)}: token {checksum(token)} does not tell its balance; left out")


@treasury.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The Safe file that you are asked to sign")],
    issuer: Annotated[list[str], typer.Option("--issuer", help="The pin of the wallet; repeat")],
    safe: Annotated[
        list[str] | None, typer.Option("--treasury", help="The treasury; default: the one that the file names")
    ] = None,
    flusher: Annotated[list[str] | None, typer.Option("--flusher", help="Who alone may flush, if set")] = None,
    payee: Annotated[
        list[str] | None, typer.Option("--payee", help="An address that a payout or refund file may pay; repeat")
    ] = None,
    token: Annotated[
        list[str] | None, typer.Option("--token", help="A token's contract that it may pay in; repeat")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check offline that every transaction of a plan does nothing but empty payment addresses into the treasury, or pay payees
    whom you name. Take their addresses from the payees themselves, not from the file or a message."""
    from billing.core.onchain import parse_address, parse_hash
    from billing.treasury.safe import treasury_named, verify, wallets_of

    content = read_bytes(file)
    named = safe or [one for one in [treasury_named(content)] if one]
    wallets = wallets_of([parse_hash(one) for one in issuer], named, flusher or [])
    payees, tokens = (frozenset(parse_address(one) for one in given or ()) for given in (payee, token))
    chain_id, checked = verify(content, wallets, payees, tokens)
    if as_json:
        show_json({"chain_id": chain_id, "transactions": [_checked(one) for one in checked]})
    else:
        _tell_checked(chain_id, checked)


def _checked(one: "Checked | Paid") -> dict[str, Any]:
    from billing.core.onchain import checksum
    from billing.treasury.safe import Paid

    if isinstance(one, Paid):
        return {"token": checksum(one.token), "payee": checksum(one.payee), "amount_units": str(one.units)}
    return {
        "factory": checksum(one.wallet.factory),
        "treasury": checksum(one.wallet.treasury),
        "token": checksum(one.token),
        "addresses": [checksum(address) for address in one.addresses],
    }


def _tell_checked(chain_id: int, checked: "Sequence[Checked | Paid]") -> None:
    from collections import Counter

    from billing.core.onchain import ZERO_ADDRESS, checksum
    from billing.treasury.safe import Paid

    paid: Counter[Address] = Counter()
    for position, one in enumerate(checked, 1):
        if isinstance(one, Paid):
            paid[one.token] += one.units
            typer.echo(f"{position}: pays {one.units} units of token {checksum(one.token)} to {checksum(one.payee)}")
            continue
        what = "the native coin" if one.token == ZERO_ADDRESS else f"token {checksum(one.token)}"
        typer.echo(f"{position}: flushes {what} of {len(one.salts)} addresses to {checksum(one.wallet.treasury)}")
    for token, units in paid.items():
        typer.echo(f"in all {units} units of token {checksum(token)} leave the treasury: compare that with the plan")
    if paid:
        typer.echo(f"genuine: on chain {chain_id} this pays the payees that you named, and does nothing else")
    else:
        typer.echo(f"genuine: on chain {chain_id} this can only bring money to the treasury of the pin")

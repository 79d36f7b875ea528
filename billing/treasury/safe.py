"""The file that Safe's Transaction Builder takes, and its check against the pin: for signers, who need neither network nor
database.

The builder's own checksum is left out: it protects against accidents only. What a signer relies on is `verify`.
"""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from billing.core.errors import Invalid
from billing.core.onchain import ZERO_ADDRESS, Address, Hash32, checksum, parse_address, selector, to_address, to_hash
from billing.core.period import epoch_seconds
from billing.treasury.payout import transfer_calldata
from billing.treasury.sweep import SALTS_MAX, Batch
from billing.wallets.forwarder import code, flush_calldata
from billing.wallets.wallet import ForwarderWallet, TreasuryKind, forwarder_wallet

VERSION: Final = "1.0"
CHAIN_ID: Final = re.compile(r"[1-9][0-9]{0,15}")
FILE_BYTES_MAX: Final = 64 << 20
TRANSACTIONS_MAX: Final = 10_000


def safe_file(chain_id: int, batches: Iterable[Batch], name: str, created_at: datetime) -> bytes:
    """The batches as one file. Opened in a Safe on that chain, it is one multi-send."""
    found = list(batches)
    treasuries = {one.wallet.treasury for one in found}
    about = (name, "Flushes payment addresses into the treasury. Check it: stablemeter treasury verify")
    safe = treasuries.pop() if len(treasuries) == 1 else None
    return builder_file(chain_id, safe, about, [(one.to, one.data) for one in found], created_at)


def builder_file(
    chain_id: int,
    safe: Address | None,
    about: tuple[str, str],
    calls: Iterable[tuple[Address, bytes]],
    created_at: datetime,
) -> bytes:
    """Calls (to, data) as one file. `about` is its name and what it says of itself; `safe` is whose file it is."""
    return orjson.dumps(
        {
            "version": VERSION,
            "chainId": str(chain_id),
            "createdAt": epoch_seconds(created_at) * 1000,
            "meta": {
                "name": about[0],
                "description": about[1],
                "createdFromSafeAddress": checksum(safe) if safe is not None else "",
                "createdFromOwnerAddress": "",
            },
            "transactions": [
                {
                    "to": checksum(to),
                    "value": "0",
                    "data": "0x" + data.hex(),
                    "contractMethod": None,
                    "contractInputsValues": None,
                }
                for to, data in calls
            ],
        },
        option=orjson.OPT_INDENT_2,
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """One transaction of a file that does what it says: it empties these payment addresses into the treasury."""

    wallet: ForwarderWallet
    token: Address
    salts: tuple[Hash32, ...]

    @property
    def addresses(self) -> list[Address]:
        return [self.wallet.address_of(salt) for salt in self.salts]


@dataclass(frozen=True, slots=True)
class Paid:
    """One transaction of a file that pays a payee whom the signer named."""

    token: Address
    payee: Address
    units: int


def wallets_of(pins: Iterable[Hash32], treasuries: Iterable[str], flushers: Iterable[str]) -> list[ForwarderWallet]:
    """The wallets that pins stand for, found among treasuries of both kinds and flushers (nobody in particular, and the
    treasury itself, are tried too). A pin is a hash of all of it, so what is tried need not be trusted.

    Raises Invalid for a pin that none of them has.
    """
    made: dict[Hash32, ForwarderWallet] = {}
    for treasury in treasuries:
        for flusher in (ZERO_ADDRESS, treasury, *flushers):
            for kind in TreasuryKind:
                one = forwarder_wallet(treasury, kind, flusher)
                made[one.pin()] = one
    found = []
    for pin in pins:
        if pin not in made:
            raise Invalid(
                f"the pin {pin} is of another treasury or flusher than the file's",
                remedy="do not sign; or name them: --treasury 0x... --flusher 0x...",
            )
        found.append(made[pin])
    return found


def treasury_named(content: bytes) -> str:
    """The Safe that a file says it was made for; empty when it says none."""
    meta = _object(content).get("meta")
    named = meta.get("createdFromSafeAddress") if isinstance(meta, dict) else None
    return named if isinstance(named, str) else ""


def verify(
    content: bytes,
    wallets: Iterable[ForwarderWallet],
    payees: Collection[Address] = (),
    tokens: Collection[Address] = (),
) -> tuple[int, list[Checked | Paid]]:
    """(chain id, transactions) of a file whose every transaction flushes addresses of one of these wallets, or pays one of these
    payees in one of these tokens.

    Raises Invalid, naming the transaction, for anything else: another contract, a value, another call, calldata that is
    not written in the one canonical way, a salt twice.
    """
    known = {one.factory: one for one in wallets}
    raw = _object(content)
    chain_id, transactions = raw.get("chainId"), raw.get("transactions")
    if raw.get("version") != VERSION or not isinstance(chain_id, str) or not CHAIN_ID.fullmatch(chain_id):
        raise Invalid("this is no Transaction Builder file of version 1.0")
    if not isinstance(transactions, list) or not 0 < len(transactions) <= TRANSACTIONS_MAX:
        raise Invalid("the file has no list of transactions")
    checked: list[Checked | Paid] = []
    for position, one in enumerate(transactions, 1):
        to, data = _call(f"transaction {position}", one)
        wallet = known.get(to)
        if wallet is not None:
            checked.append(Checked(wallet, *_flush(f"transaction {position}", data)))
        else:
            checked.append(_transfer(f"transaction {position}", to, data, (payees, tokens)))
    seen: set[tuple[Address, Address, Hash32]] = set()
    for position, done in enumerate(checked, 1):
        for salt in done.salts if isinstance(done, Checked) else ():
            assert isinstance(done, Checked)
            place = (done.wallet.factory, done.token, salt)
            if place in seen:
                raise Invalid(f"transaction {position} flushes the salt {salt} again")
            seen.add(place)
    return int(chain_id), checked


def _object(content: bytes) -> dict[str, Any]:
    if len(content) > FILE_BYTES_MAX:
        raise Invalid("the file is larger than any plan")
    try:
        orjson.loads(content)  # it bounds nesting, which the other reader does not; and that one sees keys twice
        raw = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Invalid("the file is no JSON") from None
    if not isinstance(raw, dict):
        raise Invalid("the file is no JSON object")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Of a key that is there twice one program would take the first, and another the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("the file has an object with the same key twice")
    return found


def _call(where: str, one: Any) -> tuple[Address, bytes]:
    """What a transaction calls, and with what; it does nothing else."""
    if not isinstance(one, dict) or not isinstance(one.get("to"), str) or not isinstance(one.get("data"), str):
        raise Invalid(f"{where} is no transaction with a target and data")
    if foreign := one.keys() - {"to", "value", "data", "contractMethod", "contractInputsValues"}:
        raise Invalid(f"{where} has keys that no plan has: {', '.join(sorted(foreign))[:80]}")
    if one.get("value") != "0":
        raise Invalid(f"{where} sends {str(one.get('value'))[:40]!r} of the native coin")
    if one.get("contractMethod") is not None or one.get("contractInputsValues") is not None:
        raise Invalid(f"{where} names a method beside its data: the builder would take that instead")
    text = one["data"]
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise Invalid(f"{where} has data that is no hex") from None
    if text.lower() != "0x" + data.hex():
        raise Invalid(f"{where} has data that is not plain hex")
    return parse_address(one["to"]), data


def _transfer(where: str, token: Address, data: bytes, named: tuple[Collection[Address], Collection[Address]]) -> Paid:
    """The arguments of `transfer(address,uint256)`, to a payee and in a token that were named; written again they must be the
    same bytes."""
    payees, tokens = named
    if len(data) != 68 or data[:4] != selector("transfer(address,uint256)"):
        raise Invalid(
            f"{where} calls {checksum(token)}, which is not the factory of the pin, and is no transfer of a token"
        )
    payee, units = to_address(data[16:36]), int.from_bytes(data[36:], "big")
    if transfer_calldata(payee, units) != data:
        raise Invalid(f"{where} has calldata that is not written in the canonical way")
    if token not in tokens:
        raise Invalid(
            f"{where} pays in {checksum(token)}, which was not named", remedy="do not sign; or: --token 0x..."
        )
    if payee not in payees:
        raise Invalid(f"{where} pays {checksum(payee)}, which was not named", remedy="do not sign; or: --payee 0x...")
    if units == 0:
        raise Invalid(f"{where} pays nothing")
    return Paid(token, payee, units)


def _flush(where: str, data: bytes) -> tuple[Address, tuple[Hash32, ...]]:
    """The arguments of `flush(bytes32[],address)`; written again they must be the same bytes."""
    flush_selector = bytes.fromhex(code()["flush_selector"][2:])
    if data[:4] != flush_selector or len(data) < 100:
        raise Invalid(f"{where} does not call flush")
    token = to_address(data[48:68])
    salts = tuple(to_hash(data[at : at + 32]) for at in range(100, len(data) - 31, 32))
    if flush_calldata(salts, token) != data:
        raise Invalid(f"{where} has calldata that is not written in the canonical way")
    if not 0 < len(salts) <= SALTS_MAX:
        raise Invalid(f"{where} flushes {len(salts)} addresses; a plan has 1 to {SALTS_MAX}")
    return token, salts

"""Beancount: the journal as plain-text double entry that `bean-check` accepts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

from billing.core.errors import Conflict

_CHANGES: Final = re.compile(r"[^A-Za-z0-9]")
_ROOTS: Final = {
    "receivable": "Assets:Receivable", "deposit": "Assets:Deposit", "treasury": "Assets:Treasury", "held": "Assets:Held",
    "conversion": "Equity:Conversion", "external": "Equity:External", "opening": "Equity:Opening",
    "fx": "Income:Fx", "revenue": "Income:Revenue", "rounding": "Expenses:Rounding", "write_off": "Expenses:WriteOff",
    "gas": "Expenses:Gas", "tenant_credit": "Liabilities:TenantCredit", "tenant_prepaid": "Liabilities:TenantPrepaid",
    "refunds_payable": "Liabilities:RefundsPayable", "suspense": "Liabilities:Suspense", "tax": "Liabilities:Tax",
    "owner_payable": "Liabilities:OwnerPayable", "owner_share": "Expenses:OwnerShare",
    "promotion": "Expenses:Promotion",
}  # fmt: skip
"""Where each account of the chart belongs. A test sees to it that none is missing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One posting of an entry. `amount` is decimal text, debits positive."""

    entry: int
    on: date
    kind: str
    memo: str
    account: str
    asset: str
    amount: str
    tenant: str
    invoice: str
    tx_hash: str


def account(name: str) -> str:
    """`deposit:8453:USDC` is `Assets:Deposit:C8453:X-USDC`. Two names never become one."""
    first, *rest = name.split(":")
    return ":".join([_ROOTS[first], *(f"X-{_CHANGES.sub(lambda c: f'-{ord(c.group()):x}-', part)}" for part in rest)])


def commodity(asset: str) -> str:
    """`8453:USDC` is `USDC.8453`: a commodity begins with a letter and is in capitals."""
    chain_id, _, symbol = asset.rpartition(":")
    if not chain_id:
        return asset
    shown = symbol.upper()
    return f"{shown if shown[0].isalpha() else 'T' + shown}.{chain_id}"


def lines(title: str, postings: Iterable[Line], opened: Sequence[tuple[str, str]], since: date) -> Iterator[str]:
    """The file, part by part. `postings` are in the order of entries; `opened` are all (account, asset) that occur.

    Raises Conflict when two assets would be one commodity.
    """
    assets = {asset for _, asset in opened}
    if len({commodity(asset) for asset in assets}) < len(assets):
        raise Conflict(f"two of {', '.join(sorted(assets))} would be one commodity", remedy="export it as csv")
    yield f"; {title}\n\n" + "".join(f"{since} open {name}\n" for name in sorted({account(one) for one, _ in opened}))
    for _, group in groupby(postings, lambda one: one.entry):
        yield _transaction(list(group))


def _transaction(postings: Sequence[Line]) -> str:
    first = postings[0]
    head = f'\n{first.on} * "{_quoted(first.kind)}" "{_quoted(first.memo)}"\n  entry: "{first.entry}"\n'
    head += f'  tx: "{_quoted(first.tx_hash)}"\n' if first.tx_hash else ""
    return head + "".join(_posting(one) for one in postings)


def _posting(one: Line) -> str:
    told = {"tenant": one.tenant, "invoice": one.invoice}
    notes = "".join(f'    {name}: "{_quoted(value)}"\n' for name, value in told.items() if value)
    return f"  {account(one.account)}  {one.amount} {commodity(one.asset)}\n{notes}"


def _quoted(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')

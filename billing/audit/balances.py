"""The books against the chain: what the ledger says is on watched addresses, and what `balanceOf` says."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from billing.audit import store
from billing.audit.finding import Finding
from billing.chain import store as chain_store
from billing.chain.balances import NATIVE, balances
from billing.chain.store import tokens as token_store
from billing.chain.tokens import Token
from billing.chain.watcher import Chain, Watcher
from billing.core.money import decimal_text
from billing.core.onchain import Address, checksum
from billing.db.engine import Database
from billing.ledger import store as ledger
from billing.ledger.account import EXTERNAL, treasury
from billing.ledger.entry import Entry, Posting
from billing.reconciliation import store as questions
from billing.trail.store import Deed, record
from billing.wallets import store as wallets

CHECK = "the books match {}"
OPENING = "opening"
COIN: Final = "native_coin"
COIN_DECIMALS: Final = 18
"""Of every EVM chain's native coin."""


class BalanceAudit:
    """Compares at a block that is final: nothing can take it back, and everything up to it is booked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, watcher: Watcher, now: datetime) -> list[Finding]:
        """The differences on one chain. Raises Unavailable when no endpoint answers."""
        chain, check = watcher.chain, CHECK.format(watcher.chain.name)
        with self._database.transaction() as session:
            cursor = chain_store.cursor(session, chain.chain_id)
            if cursor is None or cursor.final < 0:
                return []
            moved = chain_store.balances(session, chain.chain_id, cursor.final)
            treasuries = [one.address for one in wallets.addresses(session)[0] if one.kind == "treasury"]
            unpaid = store.addresses_to_look_at(session, now.toordinal())
            known = token_store.known(session)
        tokens = {token.address: token for token in known.values() if token.chain_id == chain.chain_id}
        for owner in (*treasuries, *unpaid):  # also where no transfer was seen: it may have been missed
            for token in tokens.values():
                moved.setdefault((owner, token.address), 0)
        coins = sorted({(owner, NATIVE) for owner, _ in moved if owner not in treasuries})
        found = watcher.pool.ask(lambda node: balances(node, [*moved, *coins], cursor.final))
        self._ask_about_coins(chain, {owner: found[owner, NATIVE] or 0 for owner, _ in coins}, now)
        findings, sums = [], defaultdict[str, int](int)
        for (owner, token_address), units in moved.items():
            token = tokens[token_address]
            kind = "treasury" if owner in treasuries else "deposit"
            expected, there = units, found[owner, token_address]
            if kind == "treasury" and there is not None:
                expected += self._opening(token, owner, there - units, now)
            account = f"{kind}:{chain.chain_id}:{token.symbol}"
            sums[account] += expected
            if there != expected:
                told = "says nothing" if there is None else str(there)
                detail = f"{token.symbol} at block {cursor.final}: chain {told}, transfers {expected}"
                findings.append(Finding(check, checksum(owner), detail))
        with self._database.transaction() as session:
            for kind in ("deposit", "treasury"):
                booked = store.posted(session, kind, (chain.chain_id, cursor.final))
                for account in sorted({*booked, *(name for name in sums if name.startswith(kind))}):
                    if booked.get(account, 0) != sums.get(account, 0):
                        detail = (
                            f"ledger {booked.get(account, 0)}, addresses {sums.get(account, 0)} at block {cursor.final}"
                        )
                        findings.append(Finding(check, account, detail))
        return findings

    def _ask_about_coins(self, chain: Chain, held: Mapping[Address, int], now: datetime) -> None:
        """Native coin pays nothing, and is not lost: a person is told where it lies, until it is gone."""
        with self._database.transaction() as session:
            asked = set(questions.asked_about(session, COIN, f"{chain.chain_id} "))
            for owner, units in held.items():
                subject = f"{chain.chain_id} {owner}"
                if units:
                    amount = decimal_text(units, COIN_DECIMALS)
                    question = questions.Question(
                        kind=COIN,
                        subject=subject,
                        detail=f"{amount} of {chain.name}'s native coin lie on {checksum(owner)}",
                        suggestion="ask the payer; flush with token 0x0 moves it to the treasury",
                    )
                    questions.keep_asking(session, question, now)
                elif subject in asked:
                    questions.withdraw(session, COIN, subject, "it was moved away", now)

    def _opening(self, token: Token, owner: Address, units: int, now: datetime) -> int:
        """What the treasury held before it was watched; booked against `external` the first time it is looked at. That it was
        looked at is kept also when it held nothing: a later difference is a finding, never an opening."""
        account, asset = treasury(token.chain_id, token.symbol), token.asset.code
        memo = f"{OPENING} {owner}"
        with self._database.transaction() as session:
            known = ledger.booked_with(session, OPENING, memo, account)
            if known is not None:
                return known
            place = f"{account} {owner}"
            if store.opened(session, place):
                return 0
            record(session, Deed(now, "audit", "treasury.opening", place, details={"units": str(units)}))
            if units:
                postings = (Posting(account, asset, units), Posting(EXTERNAL, asset, -units))
                ledger.post(session, Entry(OPENING, now.date(), now, postings, memo=memo))
        return units

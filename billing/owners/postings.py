"""What owners' settlements and payouts book. ARCHITECTURE has the table for all concerns."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from billing.chain.tokens import Token
from billing.chain.transfer import Transfer
from billing.ledger.account import CONVERSION, EXTERNAL, OWNER_SHARE, owner_payable
from billing.ledger.entry import Entry, Posting, entry_postings
from billing.owners.statement import Key, Part

SETTLEMENT: Final = "settlement"
PAYOUT: Final = "payout"


def settlement(lines: Mapping[Key, Part], slugs: Mapping[int, str], now: datetime) -> Entry | None:
    """By how much what owners are owed changed; None when it did not. `slugs` are owners by id."""
    net: dict[tuple[str, int], int] = defaultdict(int)
    for key, part in lines.items():
        net[key.currency, key.owner_id] += part.net
    postings = []
    for currency in sorted({currency for currency, _ in net}):
        owed = {owner: units for (code, owner), units in sorted(net.items()) if code == currency}
        postings.append(Posting(OWNER_SHARE, currency, sum(owed.values())))
        postings += [Posting(owner_payable(slugs[owner]), currency, -units) for owner, units in owed.items()]
    booked = entry_postings(*postings)
    return Entry(SETTLEMENT, now.date(), now, booked, memo="owners") if booked else None


def payout(transfer: Transfer, token: Token, owner: str, value: int, now: datetime) -> Entry:
    """A transfer that left the treasury, and is booked as `external`, was an owner's payout worth `value` of the token's
    currency. It goes with its transfer: when the chain takes that back, this is reversed too."""
    asset = token.asset.code
    return Entry(
        PAYOUT,
        now.date(),
        now,
        entry_postings(
            Posting(owner_payable(owner), token.currency, value),
            Posting(CONVERSION, token.currency, -value),
            Posting(CONVERSION, asset, transfer.units),
            Posting(EXTERNAL, asset, -transfer.units),
        ),
        transfer_id=transfer.id,
        incarnation=transfer.incarnation,
        memo=transfer.tx_hash,
    )

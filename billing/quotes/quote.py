"""A quote: the rate of a feed, promised for a while."""

from dataclasses import dataclass
from datetime import datetime

from billing.quotes.feed import Feed, Rate

FeedKey = tuple[int, str, bool]
"""(chain id, the feed's address, is it inverted)."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Who pays from `since` until before `until`, by the time of the payment's block, is given this rate or a better one."""

    rate: Rate
    since: datetime
    until: datetime


def feed_key(chain_id: int, feed: Feed) -> FeedKey:
    return chain_id, feed.address, feed.inverted

"""Where and in what an invoice may be paid, as its document says for ever: the wallet's terms and a rule for every token."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from billing.invoicing.parts import INTEGER_MAX, AddressText, Name, Part, Rate, Whole


class ForwarderTerms(Part):
    """From these and the document's digest the payment address follows."""

    mode: Literal["forwarder"]
    factory: AddressText
    implementation: AddressText
    treasury: AddressText
    treasury_kind: Literal["contract", "eoa"]
    flusher: AddressText


class XpubTerms(Part):
    """The address commits to nothing: it is simply named."""

    mode: Literal["xpub"]
    address: AddressText


class Par(Part):
    """One token is one unit of the currency."""

    kind: Literal["par"] = "par"


class ParWithin(Part):
    """One token is one unit of the currency while a feed says so, within a limit; beyond it the feed's rate counts."""

    kind: Literal["par"]
    limit: Rate
    feed: AddressText
    feed_decimals: Annotated[int, Field(ge=0, le=36)]
    feed_staleness_seconds: Annotated[int, Field(ge=1, le=INTEGER_MAX)]


class ByFeed(Part):
    """A token of another currency: a feed says what it is worth. The feed prices the token in the invoice's currency, or
    the currency in the token."""

    kind: Literal["feed"]
    feed: AddressText
    feed_decimals: Annotated[int, Field(ge=0, le=36)]
    feed_staleness_seconds: Annotated[int, Field(ge=1, le=INTEGER_MAX)]
    prices: Literal["token", "currency"]


RateRule = Par | ParWithin | ByFeed


def _rule(rule: Any) -> str:
    if isinstance(rule, dict):
        return "feed" if rule.get("kind") == "feed" else "guarded" if len(rule) > 1 else "plain"
    return "feed" if isinstance(rule, ByFeed) else "guarded" if isinstance(rule, ParWithin) else "plain"


AnyRule = Annotated[
    Annotated[Par, Tag("plain")] | Annotated[ParWithin, Tag("guarded")] | Annotated[ByFeed, Tag("feed")],
    Discriminator(_rule),
]


class Settlement(Part):
    chain_id: Whole
    token: Name
    token_address: AddressText
    decimals: Annotated[int, Field(ge=0, le=36)]
    rule: AnyRule

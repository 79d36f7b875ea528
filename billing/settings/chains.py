"""Settings of payment: the wallet that addresses come from, and the chains that are followed."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from billing.core.onchain import ZERO_ADDRESS, parse_address
from billing.invoicing.document import ByFeed, Par, ParWithin, RateRule, rate_text
from billing.settings.presets import filled
from billing.settings.section import Section, as_value_error, web


class WalletSettings(Section):
    """Where invoices are paid to. There is never a private key here."""

    mode: Literal["forwarder", "xpub"] = Field(
        default="forwarder", description="forwarder (address commits to the invoice) or xpub"
    )
    treasury: str = Field(default="", description="forwarder: address that all money goes to, such as a Safe")
    treasury_kind: Literal["contract", "eoa"] = Field(
        default="contract", description="forwarder: contract (a Safe) or eoa (declared to be a plain account)"
    )
    flusher: str = Field(default=ZERO_ADDRESS, description="forwarder: only this address may flush; zero means anyone")
    xpub: str = Field(default="", description="xpub: account-level extended public key, m/44'/60'/0'")
    archive: list[Path] = Field(
        default_factory=list, description="Directories for the documents; default data_dir/archive"
    )

    @field_validator("treasury", "flusher")
    @classmethod
    def _address(cls, value: str) -> str:
        return as_value_error(lambda: parse_address(value)) if value else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode == "xpub" and not self.xpub:
            raise ValueError("mode xpub needs wallet.xpub")
        if self.mode == "forwarder" and self.xpub:
            raise ValueError("wallet.xpub is set, but mode is forwarder")
        if self.mode == "xpub":
            from billing.wallets.hd import AccountKey  # loads elliptic curves, which nobody else needs

            as_value_error(lambda: AccountKey(self.xpub).fingerprint)
        return self


class FeedSettings(Section):
    """What a token is worth in another currency, as a price feed on its own chain says."""

    currency: str = Field(pattern=r"^[A-Z]{3}$", description="Currency of the invoices that may be paid so")
    feed: str = Field(description="Chainlink-style aggregator on the same chain")
    feed_decimals: int = Field(ge=1, le=36, description="Decimals of the feed, checked against the contract")
    feed_staleness_seconds: int = Field(
        ge=1, le=31_536_000, description="Older rounds give no rate; a little more than the feed's heartbeat"
    )
    prices: Literal["token", "currency"] = Field(
        default="token", description="The feed says what one token is worth in the currency, or one currency in tokens"
    )

    @field_validator("feed")
    @classmethod
    def _feed(cls, value: str) -> str:
        return as_value_error(lambda: parse_address(value))

    @property
    def rule(self) -> ByFeed:
        """What documents say about what the token is worth."""
        return ByFeed(
            kind="feed",
            feed=self.feed,
            feed_decimals=self.feed_decimals,
            feed_staleness_seconds=self.feed_staleness_seconds,
            prices=self.prices,
        )


class TokenSettings(Section):
    symbol: str = Field(pattern=r"^[A-Za-z0-9.]{1,12}$", description="Symbol, checked against the contract")
    address: str = Field(description="Address of the token contract")
    decimals: int = Field(ge=0, le=36, description="Decimals, checked against the contract")
    onchain_symbols: list[str] = Field(
        default_factory=list, description="What the contract calls itself, if not the symbol; one of these"
    )
    listing: Literal["accept", "watch"] = Field(
        default="accept", description="accept, or watch (noticed, but pays nothing)"
    )
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="Currency that one token is worth")
    par_limit: str = Field(
        default="",
        pattern=r"^(0\.\d{1,18})?$",
        description="How far the feed may be from 1 (0.01: one percent) before its rate counts; default: always par",
    )
    feed: str = Field(default="", description="Chainlink-style aggregator of token / currency on the same chain")
    feed_decimals: int = Field(default=0, ge=0, le=36, description="Decimals of the feed, checked against the contract")
    feed_staleness_seconds: int = Field(
        default=0,
        ge=0,
        le=31_536_000,
        description="Older rounds give no rate; a little more than the feed's heartbeat",
    )
    rates: list[FeedSettings] = Field(default_factory=list, description="Other currencies that it may pay, by feeds")

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        return as_value_error(lambda: parse_address(value))

    @field_validator("feed")
    @classmethod
    def _feed(cls, value: str) -> str:
        return as_value_error(lambda: parse_address(value)) if value else value

    @model_validator(mode="after")
    def _rule(self) -> Self:
        given = {
            "par_limit": bool(self.par_limit),
            "feed": bool(self.feed),
            "feed_decimals": self.feed_decimals > 0,
            "feed_staleness_seconds": self.feed_staleness_seconds > 0,
        }
        if any(given.values()) and not all(given.values()):
            missing = ", ".join(name for name, is_given in given.items() if not is_given)
            raise ValueError(f"a par limit is checked against a feed: {missing} is missing")
        paid = [self.currency, *(one.currency for one in self.rates)]
        if len(set(paid)) != len(paid):
            raise ValueError("a currency is paid by one rule: rates names its own currency, or one of them twice")
        return self

    @property
    def rules(self) -> dict[str, RateRule]:
        """{currency: what documents say about what this token is worth in it}."""
        return {self.currency: self.rule, **{one.currency: one.rule for one in self.rates}}

    @property
    def rule(self) -> Par | ParWithin:
        """What documents say about what this token is worth in its own currency."""
        if not self.par_limit:
            return Par()
        return ParWithin(
            kind="par",
            limit=rate_text(Decimal(self.par_limit)),
            feed=self.feed,
            feed_decimals=self.feed_decimals,
            feed_staleness_seconds=self.feed_staleness_seconds,
        )


class BandSettings(Section):
    """What a small payment must wait for."""

    up_to: str = Field(
        pattern=r"^(0|[1-9]\d{0,17})(\.\d{1,18})?$",
        description="Most that has come to the invoice's address, with this payment, at par",
    )
    confirmations: int | None = Field(default=None, ge=1, le=100_000, description="Blocks until it counts (1: its own)")
    finality: Literal["safe", "finalized"] | None = Field(default=None, description="Instead of confirmations: a tag")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if Decimal(self.up_to) <= 0:
            raise ValueError("up_to is an amount above 0")
        if (self.confirmations is None) == (self.finality is None):
            raise ValueError("give either confirmations or finality")
        return self


def _strength(one: Any) -> tuple[int, int]:
    """Rules in the order of how long they take: depths, then `safe`, then `finalized`."""
    return (0, one.confirmations) if one.confirmations is not None else (1 if one.finality == "safe" else 2, 0)


class ChainSettings(Section):
    """One EVM chain."""

    preset: str = Field(
        default="", description="A network of `stablemeter chain presets`: fills in what is not given beside it"
    )
    chain_id: int = Field(ge=1, lt=2**53, description="Chain id, checked at start")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique name")
    rpc_urls: list[str] = Field(min_length=1, description="RPC endpoints, the preferred one first")
    confirmations: int | None = Field(
        default=None, ge=1, le=100_000, description="Blocks until a payment counts (1: its own)"
    )
    finality: Literal["safe", "finalized"] | None = Field(
        default=None, description="Instead of confirmations: the chain's own tag"
    )
    final_confirmations: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Blocks until nothing can take a payment back; default: the finalized tag",
    )
    start_block: int | None = Field(
        default=None, ge=0, description="First block to read; default: the newest at first start"
    )
    quote_seconds: int = Field(
        default=900,
        ge=60,
        le=86_400,
        description="How long payers are promised the rate of a feed that they were shown",
    )
    block_seconds: int = Field(default=2, ge=1, le=600, description="Time between blocks, about")
    poll_seconds: int = Field(default=4, ge=1, le=600, description="How often to ask for new blocks")
    timeout_seconds: int = Field(default=20, ge=1, le=300, description="How long an RPC answer may take")
    calls_per_minute: int = Field(
        default=0, ge=0, le=1_000_000, description="Request budget of all its endpoints together; 0: no limit"
    )
    reorg_blocks_max: int = Field(default=512, ge=16, le=100_000, description="Deeper reorganisations stop the chain")
    finality_stall_seconds: int = Field(
        default=3600, ge=60, le=604_800, description="Alarm when no block became final for so long"
    )
    bands: list[BandSettings] = Field(default_factory=list, description="Small payments that count sooner")
    tokens: list[TokenSettings] = Field(min_length=1, description="Tokens to listen to")

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        return filled(given) if isinstance(given, Mapping) else given

    @field_validator("rpc_urls")
    @classmethod
    def _reachable(cls, value: list[str]) -> str | list[str]:
        return web(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.confirmations is None) == (self.finality is None):
            raise ValueError("give either confirmations or finality")
        symbols = [token.symbol for token in self.tokens]
        addresses = [token.address for token in self.tokens]
        if len(set(symbols)) != len(symbols) or len(set(addresses)) != len(addresses):
            raise ValueError("a token is listed twice")
        for smaller, larger in pairwise([*self.bands, self]):
            if _strength(smaller) > _strength(larger):
                raise ValueError("larger amounts must wait at least as long: order bands from small to large")
        if any(Decimal(a.up_to) >= Decimal(b.up_to) for a, b in pairwise(self.bands)):
            raise ValueError("each band must reach further than the one before: order them by up_to")
        return self

"""Where documents may be paid to: the wallet's next address, and the tokens that count there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.core.errors import Conflict, Unavailable
from billing.core.onchain import Address, Hash32
from billing.db.engine import Session
from billing.invoicing.document import ForwarderTerms, RateRule, Settlement, XpubTerms
from billing.wallets import store as wallets
from billing.wallets.hd import AccountKey
from billing.wallets.wallet import ForwarderWallet, Wallet


@dataclass(frozen=True, slots=True)
class Offer:
    """A token that documents of a currency may be paid in, by a rule."""

    chain_id: int
    token: str
    token_address: str
    decimals: int
    currency: str
    rule: RateRule


class Addressing:
    """The configured wallet, as documents name it. `account` derives addresses in xpub mode."""

    def __init__(self, wallet: Wallet | None, account: AccountKey | None, offers: Sequence[Offer]) -> None:
        self._wallet, self._account, self._offers = wallet, account, offers

    def generation(self, session: Session, now: datetime) -> wallets.Generation:
        if self._wallet is None:
            raise Conflict(
                "no wallet is configured, so nothing can be paid", remedy="set wallet.treasury or wallet.xpub"
            )
        return wallets.generation(session, self._wallet, now)

    def next_index(self, session: Session, generation: wallets.Generation | None) -> int | None:
        """A fresh HD index in xpub mode. One whose address is known is passed over: a restore may have found the address
        without its index."""
        if generation is None or self._account is None:
            return None
        while True:
            index = wallets.next_index(session, generation.id)
            if wallets.known(session, self._account.address(index)) is None:
                return index

    def terms(self, index: int | None) -> ForwarderTerms | XpubTerms:
        wallet = self._wallet
        if isinstance(wallet, ForwarderWallet):
            return ForwarderTerms(
                mode="forwarder",
                factory=wallet.factory,
                implementation=wallet.implementation,
                treasury=wallet.treasury,
                treasury_kind=wallet.treasury_kind.value,
                flusher=wallet.flusher,
            )
        return XpubTerms(mode="xpub", address=self._hd_address(index))

    def salted(self, digest: Hash32, index: int | None) -> tuple[Address, str]:
        """The address of a document, and the salt that it is made from (none in xpub mode)."""
        if isinstance(self._wallet, ForwarderWallet):
            return self._wallet.address_of(digest), digest
        return self._hd_address(index), ""

    def settlement(self, session: Session, generation: wallets.Generation, currency: str) -> list[Settlement]:
        """What may be paid with: on chains on which the wallet was verified. Raises Unavailable when there is none."""
        accepted = wallets.accepted_chains(session, generation.id)
        offers = [o for o in self._offers if o.currency == currency and o.chain_id in accepted]
        if not offers:
            raise Unavailable(
                f"no chain accepts {currency} for this wallet yet",
                remedy="stablemeter doctor says what is missing (factory deployed? treasury? chain reachable?)",
            )
        return [
            Settlement(
                chain_id=o.chain_id, token=o.token, token_address=o.token_address, decimals=o.decimals, rule=o.rule
            )
            for o in offers
        ]

    def _hd_address(self, index: int | None) -> Address:
        assert self._account is not None and index is not None
        return self._account.address(index)

"""A wallet as documents, pins and stores see it: how addresses are made, and by what they can be recognised."""

from dataclasses import dataclass
from enum import StrEnum

import rfc8785

from billing.core.errors import Invalid
from billing.core.keccak import keccak256
from billing.core.onchain import ZERO_ADDRESS, Address, Hash32, parse_address, to_hash
from billing.wallets.forwarder import Factory, Treasury, clone_address, clone_init_code_hash, factory

PIN_TYPE = "stablemeter/pin@1"


class Mode(StrEnum):
    """`forwarder`: the address commits to the invoice. `xpub`: the address commits to nothing."""

    FORWARDER = "forwarder"
    XPUB = "xpub"


class TreasuryKind(StrEnum):
    """A contract (a Safe) must have code before it is paid; an EOA has none, and was declared to be one."""

    CONTRACT = "contract"
    EOA = "eoa"


@dataclass(frozen=True, slots=True)
class ForwarderWallet:
    """Everything that a payment address follows from, but the salt."""

    factory: Address
    implementation: Address
    treasury: Address
    treasury_kind: TreasuryKind
    flusher: Address

    @property
    def mode(self) -> Mode:
        return Mode.FORWARDER

    def address_of(self, salt: Hash32) -> Address:
        return clone_address(self.factory, self.implementation, salt)

    def pin(self) -> Hash32:
        """The name by which a payer recognises this wallet: it comes with the contract, never from the pay page."""
        return to_hash(keccak256(rfc8785.dumps(self.pinned())))

    def pinned(self) -> dict[str, str]:
        """What the pin is the hash of."""
        return {
            "type": PIN_TYPE,
            "mode": self.mode.value,
            "factory": self.factory,
            "implementation": self.implementation,
            "init_code_hash": to_hash(clone_init_code_hash(self.implementation)),
            "treasury": self.treasury,
            "treasury_kind": self.treasury_kind.value,
            "flusher": self.flusher,
        }

    def standard(self) -> Factory | None:
        """The factory with this treasury that this version's code deploys; None when this wallet is another one."""
        made = factory(Treasury(self.treasury, self.flusher, self.treasury_kind is TreasuryKind.CONTRACT))
        return made if (made.factory, made.implementation) == (self.factory, self.implementation) else None


@dataclass(frozen=True, slots=True)
class XpubWallet:
    """Addresses derived from an account key. `account` is the key's fingerprint; the key itself is not stored."""

    account: Hash32

    @property
    def mode(self) -> Mode:
        return Mode.XPUB

    def pin(self) -> Hash32:
        return to_hash(keccak256(rfc8785.dumps(self.pinned())))

    def pinned(self) -> dict[str, str]:
        return {"type": PIN_TYPE, "mode": self.mode.value, "account": self.account}


Wallet = ForwarderWallet | XpubWallet


def forwarder_wallet(treasury: str, kind: TreasuryKind, flusher: str = ZERO_ADDRESS) -> ForwarderWallet:
    """The wallet of a treasury, with the factory that this version deploys. Raises Invalid for a malformed address."""
    address = parse_address(treasury)
    if address == ZERO_ADDRESS:
        raise Invalid("wallet.treasury is the zero address", remedy="money sent there is gone; name your Safe")
    made = factory(Treasury(address, parse_address(flusher), kind is TreasuryKind.CONTRACT))
    return ForwarderWallet(made.factory, made.implementation, address, kind, parse_address(flusher))

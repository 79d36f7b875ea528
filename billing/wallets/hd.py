"""Addresses from an extended public key: BIP-32, non-hardened, 0/i below the account key. Public keys only.

Source: BIP-32, BIP-44. The account key is m/44'/60'/0'.
"""

from bip32 import BIP32

from billing.core.errors import Invalid
from billing.core.keccak import keccak256
from billing.core.onchain import Address, Hash32, to_address, to_hash

_P = 2**256 - 2**32 - 977
ACCOUNT_DEPTH = 3
INDEX_MAX = 2**31 - 1


class AccountKey:
    """An account-level extended public key (xpub)."""

    def __init__(self, xpub: str) -> None:
        """Raises Invalid for anything but an account xpub, and does not repeat what it was given."""
        if xpub.startswith(("xprv", "tprv")):
            raise Invalid(
                "wallet.xpub holds a private key; it was not used",
                remedy="give the account xpub, and treat that private key as exposed",
            )
        try:
            self._node = BIP32.from_xpub(xpub)
        except ValueError as error:
            raise Invalid(
                "wallet.xpub is no extended public key", remedy="export the account xpub, m/44'/60'/0'"
            ) from error
        if self._node.depth != ACCOUNT_DEPTH:
            raise Invalid(
                f"wallet.xpub is at depth {self._node.depth}, not an account key", remedy="export m/44'/60'/0'"
            )
        self.fingerprint: Hash32 = to_hash(keccak256(xpub.encode()))

    def address(self, index: int) -> Address:
        """The address 0/index."""
        if not 0 <= index <= INDEX_MAX:
            raise Invalid(f"there is no address with index {index}")
        return _address(self._node.get_pubkey_from_path([0, index]))


def _address(compressed: bytes) -> Address:
    """The Ethereum address of a compressed secp256k1 point. Written out here because the libraries that do it also sign."""
    x = int.from_bytes(compressed[1:], "big")
    y = pow(x**3 + 7, (_P + 1) // 4, _P)
    if y % 2 != compressed[0] - 2:
        y = _P - y
    return to_address(keccak256(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:])

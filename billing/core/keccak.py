"""Keccak-256, as Ethereum uses it (not SHA-3). The one third-party import of `core`."""

from Crypto.Hash import keccak


def keccak256(data: bytes) -> bytes:
    """The 32-byte digest of `data`."""
    return keccak.new(digest_bits=256, data=data).digest()

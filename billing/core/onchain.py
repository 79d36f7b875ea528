"""What is written on a chain: addresses, hashes, selectors, payment links. Canonical text is lowercase hex.

EIP-55 capitals are for people (pages, listings); documents and tables hold lowercase, so that one thing has one spelling.
Sources: EIP-55, EIP-681, EIP-1014, ERC-20.
"""

import re
from typing import Final, NewType

from billing.core.errors import Invalid
from billing.core.keccak import keccak256

Address = NewType("Address", str)
"""`0x` and 40 lowercase hex digits."""

Hash32 = NewType("Hash32", str)
"""`0x` and 64 lowercase hex digits."""

ZERO_ADDRESS: Final = Address("0x" + "0" * 40)
TRANSFER_TOPIC: Final = Hash32("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
"""keccak256("Transfer(address,address,uint256)")."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


def parse_address(text: str) -> Address:
    """Accept an address as people write it. Mixed capitals must be a right EIP-55 checksum. Raises Invalid."""
    if _ADDRESS.fullmatch(text) is None:
        raise Invalid(f"{text!r} is not an address", remedy="it is 0x and 40 hex digits")
    address = Address(text.lower())
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and checksum(address) != text:
        raise Invalid(f"address {text} fails its checksum", remedy="copy it again; a character was changed")
    return address


def parse_hash(text: str) -> Hash32:
    """Accept 32 bytes as 0x and 64 hex digits. Raises Invalid."""
    if _HASH.fullmatch(text) is None:
        raise Invalid(f"{text!r} is not a 32-byte hash", remedy="it is 0x and 64 hex digits")
    return Hash32(text.lower())


def checksum(address: Address) -> str:
    """The EIP-55 spelling, for people."""
    digits = address[2:]
    nibbles = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if n >= "8" else c for c, n in zip(digits, nibbles[:40], strict=True))


def address_bytes(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


def hash_bytes(hash32: Hash32) -> bytes:
    return bytes.fromhex(hash32[2:])


def to_address(raw: bytes) -> Address:
    assert len(raw) == 20
    return Address("0x" + raw.hex())


def to_hash(raw: bytes) -> Hash32:
    assert len(raw) == 32
    return Hash32("0x" + raw.hex())


def create2(deployer: Address, salt: bytes, init_code_hash: bytes) -> Address:
    """The address of a contract deployed by CREATE2 (EIP-1014)."""
    assert len(salt) == len(init_code_hash) == 32
    return to_address(keccak256(b"\xff" + address_bytes(deployer) + salt + init_code_hash)[12:])


def create_first(deployer: Address) -> Address:
    """The address of the first contract that a contract deploys by CREATE (its nonce is 1, EIP-161)."""
    return to_address(keccak256(b"\xd6\x94" + address_bytes(deployer) + b"\x01")[12:])


def word(value: int | Address) -> bytes:
    """One 32-byte ABI word."""
    number = value if isinstance(value, int) else int(value, 16)
    return number.to_bytes(32, "big")


def selector(signature: str) -> bytes:
    """The first four bytes of a function's hash: `selector("transfer(address,uint256)")`."""
    return keccak256(signature.encode())[:4]


def padded(address: Address) -> Hash32:
    """An address as an indexed log topic."""
    return Hash32("0x" + "0" * 24 + address[2:])


def payment_uri(token: Address, chain_id: int, to: Address, units: int) -> str:
    """The EIP-681 link for an ERC-20 transfer. Amounts are plain digits: some wallets misread an exponent."""
    return f"ethereum:{checksum(token)}@{chain_id}/transfer?address={checksum(to)}&uint256={units}"

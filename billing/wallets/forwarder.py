"""Forwarder addresses: recomputed here exactly as the contracts compute them. The bytecode is the address.

Sources: EIP-1014 (CREATE2), EIP-1167 (clones), contracts/src. The code file is written by contracts/build.py, which CI
runs to compare it with a fresh build.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from billing.core.keccak import keccak256
from billing.core.onchain import Address, Hash32, create2, create_first, hash_bytes, parse_address, to_hash, word


@cache
def code() -> dict[str, Any]:
    """The compiled contracts, as committed."""
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / "forwarder_code.json").read_text())
    return loaded


def proxy() -> Address:
    """The deterministic deployment proxy: at the same address on every chain that has it."""
    return parse_address(code()["deployment_proxy"]["address"])


@dataclass(frozen=True, slots=True)
class Treasury:
    """Where all money goes. `flusher` zero means that anyone may flush; a contract treasury must have code to be paid."""

    address: Address
    flusher: Address
    is_contract: bool

    def init_code(self) -> bytes:
        """The factory's creation code with its constructor arguments."""
        arguments = word(self.address) + word(self.flusher) + word(int(self.is_contract))
        return bytes.fromhex(code()["factory_init_code"][2:]) + arguments


@dataclass(frozen=True, slots=True)
class Factory:
    """A deployed (or yet to be deployed) factory and the one forwarder that its addresses are clones of."""

    factory: Address
    implementation: Address
    treasury: Treasury

    def address_of(self, salt: Hash32) -> Address:
        """The payment address of a salt."""
        return clone_address(self.factory, self.implementation, salt)

    def init_code_hash(self) -> Hash32:
        return to_hash(clone_init_code_hash(self.implementation))

    def runtime_code(self) -> bytes:
        """The code that must stand at the factory's address: the compiled one with its immutables filled in."""
        values = {
            "treasury": word(self.treasury.address),
            "flusher": word(self.treasury.flusher),
            "treasuryIsContract": word(int(self.treasury.is_contract)),
            "implementation": word(self.implementation),
        }
        return _filled("factory", values)

    def implementation_runtime_code(self) -> bytes:
        values = {
            "treasury": word(self.treasury.address),
            "factory": word(self.factory),
            "implementation": word(self.implementation),
        }
        return _filled("implementation", values)


def _filled(name: str, values: dict[str, bytes]) -> bytes:
    runtime = bytearray.fromhex(code()[f"{name}_runtime_code"][2:])
    for immutable, places in code()[f"{name}_immutables"].items():
        for place in places:
            assert place["length"] == 32
            runtime[place["start"] : place["start"] + 32] = values[immutable]
    return bytes(runtime)


def factory(treasury: Treasury, salt: bytes = bytes(32)) -> Factory:
    """The factory of a treasury, at the address that the deployment proxy gives it."""
    address = create2(proxy(), salt, keccak256(treasury.init_code()))
    return Factory(address, create_first(address), treasury)


def clone_init_code_hash(implementation: Address) -> bytes:
    prefix, parts = code()["clone"]["init_prefix"], code()["clone"]
    runtime = parts["runtime_prefix"][2:] + implementation[2:] + parts["runtime_suffix"][2:]
    return keccak256(bytes.fromhex(prefix[2:] + runtime))


def clone_address(factory: Address, implementation: Address, salt: Hash32) -> Address:
    """Where the factory's clone for a salt is, or will be."""
    return create2(factory, hash_bytes(salt), clone_init_code_hash(implementation))


def deployment(treasury: Treasury, salt: bytes = bytes(32)) -> tuple[Address, bytes]:
    """(to, data) of the transaction that deploys the factory; anybody may send it, with no value."""
    return proxy(), salt + treasury.init_code()


def flush_calldata(salts: Sequence[Hash32], token: Address) -> bytes:
    """Calldata of `flush(bytes32[],address)`; token zero is the native coin."""
    head = bytes.fromhex(code()["flush_selector"][2:]) + word(64) + word(token) + word(len(salts))
    return head + b"".join(hash_bytes(salt) for salt in salts)

"""Writes vectors.json: the addresses that Solidity and Python must both arrive at.

Owns: a third computation of CREATE2, apart from Solidity's and from the daemon's. Needs pycryptodome.
Run it after `build.py write` whenever the factory's bytecode changes.
"""

import json
from pathlib import Path
from typing import Any

from Crypto.Hash import keccak

HERE = Path(__file__).resolve().parent
CODE: dict[str, Any] = json.loads((HERE.parent / "billing/wallets/forwarder_code.json").read_text())

# treasury, flusher, whether the treasury is a contract, salt
FACTORIES = [
    ("11" * 20, "00" * 20, False, "00" * 32),
    ("11" * 20, "00" * 20, True, "00" * 32),
    ("11" * 20, "22" * 20, False, "00" * 32),
    ("11" * 20, "22" * 20, True, "ff" * 32),
    ("ff" * 20, "ff" * 20, True, "00" * 31 + "01"),
    ("ff" * 19 + "fe", "00" * 19 + "01", False, "80" + "00" * 31),
    ("d8da6bf26964af9d7eed9e03e53415d37aa96045", "00" * 20, True, "0123456789abcdef" * 4),
]
SALTS = ["00" * 32, "ff" * 32, "00" * 31 + "01", "80" + "00" * 31, "0123456789abcdef" * 4]
# factory and implementation that nothing relates: address arithmetic alone
PAIRS = [
    ("11" * 20, "00" * 20),
    ("11" * 20, "ff" * 20),
    ("ff" * 20, "11" * 20),
    ("00" * 18 + "1000", "00" * 19 + "01"),
    ("00deadbeef00000000000000000000000000ba5e", "0badc0de000000000000000000000000000000c0"),
]


def digest(data: bytes) -> bytes:
    return bytes(keccak.new(digest_bits=256, data=data).digest())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def create2(deployer: bytes, salt: bytes, init_code_hash: bytes) -> bytes:
    return digest(b"\xff" + deployer + salt + init_code_hash)[12:]


def clone(factory: bytes, implementation: bytes, salt: bytes) -> bytes:
    parts = (CODE["clone"][name] for name in ("init_prefix", "runtime_prefix", "runtime_suffix"))
    init_prefix, prefix, suffix = map(unhex, parts)
    return create2(factory, salt, digest(init_prefix + prefix + implementation + suffix))


def factory_vector(treasury: str, flusher: str, is_contract: bool, salt: str) -> dict[str, Any]:
    words = [unhex(treasury), unhex(flusher), bytes([is_contract])]
    init_code = unhex(CODE["factory_init_code"]) + b"".join(word.rjust(32, b"\0") for word in words)
    factory = create2(unhex(CODE["deployment_proxy"]["address"]), unhex(salt), digest(init_code))
    return {
        "treasury": "0x" + treasury,
        "flusher": "0x" + flusher,
        "treasury_is_contract": is_contract,
        "salt": "0x" + salt,
        "init_code_hash": "0x" + digest(init_code).hex(),
        "factory": "0x" + factory.hex(),
        "implementation": "0x" + digest(b"\xd6\x94" + factory + b"\x01")[12:].hex(),
    }


def address_vector(factory: str, implementation: str, salt: str) -> dict[str, str]:
    return {
        "factory": factory,
        "implementation": implementation,
        "salt": "0x" + salt,
        "address": "0x" + clone(unhex(factory), unhex(implementation), unhex(salt)).hex(),
    }


def vectors() -> dict[str, Any]:
    factories = [factory_vector(*row) for row in FACTORIES]
    made = [(row["factory"], row["implementation"]) for row in factories[:3]]
    pairs = made + [("0x" + factory, "0x" + implementation) for factory, implementation in PAIRS]
    return {
        "proxy": CODE["deployment_proxy"]["address"],
        "proxy_runtime_code": CODE["deployment_proxy"]["runtime_code"],
        "factory_init_code_hash": "0x" + digest(unhex(CODE["factory_init_code"])).hex(),
        "factories": factories,
        "addresses": [address_vector(*pair, salt) for pair in pairs for salt in SALTS],
    }


if __name__ == "__main__":
    (HERE / "vectors.json").write_text(json.dumps(vectors(), indent=2) + "\n")

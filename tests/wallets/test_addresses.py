"""Addresses, against vectors that the contracts' own tests satisfy as well."""

import json
from pathlib import Path

import pytest

from billing.core.errors import Invalid
from billing.core.onchain import ZERO_ADDRESS, Hash32, checksum, parse_address
from billing.wallets.forwarder import Treasury, clone_address, factory, flush_calldata
from billing.wallets.hd import AccountKey
from billing.wallets.wallet import TreasuryKind, forwarder_wallet

VECTORS = json.loads((Path(__file__).parents[2] / "contracts" / "vectors.json").read_text())
XPUB = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"
PARENT_OF_NOTHING = (
    "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
)


@pytest.mark.parametrize("vector", VECTORS["factories"], ids=lambda vector: str(vector["factory"]))
def test_factory_vectors(vector: dict[str, str]) -> None:
    treasury = Treasury(
        parse_address(vector["treasury"]), parse_address(vector["flusher"]), bool(vector["treasury_is_contract"])
    )
    made = factory(treasury, bytes.fromhex(vector["salt"][2:]))
    assert (made.factory, made.implementation) == (
        parse_address(vector["factory"]),
        parse_address(vector["implementation"]),
    )


@pytest.mark.parametrize("vector", VECTORS["addresses"], ids=lambda vector: str(vector["address"]))
def test_address_vectors(vector: dict[str, str]) -> None:
    found = clone_address(
        parse_address(vector["factory"]), parse_address(vector["implementation"]), Hash32(vector["salt"].lower())
    )
    assert found == parse_address(vector["address"])


@pytest.mark.parametrize(
    ("index", "address"),
    [
        (0, "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        (1, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        (2, "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
        (2**31 - 1, "0x9d90537E6c8631CF4cBf3F3049519844027a3d68"),
    ],
)
def test_bip32_vectors(index: int, address: str) -> None:
    assert checksum(AccountKey(XPUB).address(index)) == address


def test_only_an_account_xpub_is_taken_and_a_private_key_is_never_repeated() -> None:
    private = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
    with pytest.raises(Invalid, match="holds a private key") as caught:
        AccountKey(private)
    assert private not in str(caught.value)
    for wrong in ("", "xpub", XPUB[:-1] + "Q", "0x" + "ab" * 32):
        with pytest.raises(Invalid, match="no extended public key") as caught:
            AccountKey(wrong)
        assert not wrong or wrong not in str(caught.value).replace("wallet.xpub", "").replace("account xpub", "")
    with pytest.raises(Invalid, match="depth 0"):
        AccountKey(PARENT_OF_NOTHING)
    with pytest.raises(Invalid, match="no address with index"):
        AccountKey(XPUB).address(2**31)


def test_a_pin_changes_with_everything_that_decides_where_money_goes() -> None:
    safe, other = "0x" + "11" * 20, "0x" + "22" * 20
    wallets = [
        forwarder_wallet(safe, TreasuryKind.CONTRACT),
        forwarder_wallet(other, TreasuryKind.CONTRACT),
        forwarder_wallet(safe, TreasuryKind.EOA),
        forwarder_wallet(safe, TreasuryKind.CONTRACT, other),
    ]
    assert len({wallet.pin() for wallet in wallets}) == len({wallet.factory for wallet in wallets}) == 4
    assert all(wallet.standard() is not None for wallet in wallets)
    with pytest.raises(Invalid, match="zero address"):
        forwarder_wallet(ZERO_ADDRESS, TreasuryKind.EOA)


def test_flush_calldata_is_abi_encoded() -> None:
    from eth_abi.abi import encode

    salts = [Hash32("0x" + f"{n:064x}") for n in range(3)]
    token = parse_address("0x" + "33" * 20)
    wanted = encode(["bytes32[]", "address"], [[bytes.fromhex(salt[2:]) for salt in salts], token])
    assert flush_calldata(salts, token)[4:] == wanted

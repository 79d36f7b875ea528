"""Presets: addresses that pass their checksum, settings that stand, and networks on which our addresses would be wrong."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from billing.bootstrap.chains import chain_of
from billing.core.onchain import checksum, parse_address
from billing.settings import ChainSettings, Settings
from billing.settings import presets as module
from billing.settings.presets import other_create2, presets

RPC = {"rpc_urls": ["http://127.0.0.1:1"]}


@pytest.mark.parametrize("name", presets())
def test_a_preset_with_an_endpoint_is_a_chain(name: str) -> None:
    one = ChainSettings(preset=name, **RPC)
    chain = chain_of(one)
    assert chain.name == name and chain.chain_id == presets()[name]["chain_id"] and chain.tokens
    for token, written in zip(chain.tokens, presets()[name]["tokens"], strict=True):
        assert written["address"] == checksum(parse_address(written["address"])), "as EIP-55 writes it"
        assert token.decimals == (18 if name == "bsc" else 6)
        assert token.symbol in ("USDC", "USDT") and token.currency == "USD"


def test_no_two_presets_share_a_chain_or_a_token() -> None:
    ids = [one["chain_id"] for one in presets().values()]
    assert len(set(ids)) == len(ids) and not set(ids) & other_create2()
    tokens = [token["address"] for one in presets().values() for token in one["tokens"]]
    assert len(set(tokens)) == len(tokens)


def test_what_is_given_beats_the_preset() -> None:
    token = {"symbol": "EURX", "address": "0x" + "12" * 20, "decimals": 6, "currency": "EUR"}
    one = ChainSettings(preset="base", name="mine", confirmations=5, tokens=[token], **RPC)
    assert (one.name, one.chain_id, one.confirmations, one.finality) == ("mine", 8453, 5, None)
    assert [token.symbol for token in one.tokens] == ["EURX"]


def test_an_unknown_preset_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ValidationError, match="there is no preset 'bass'; there are ethereum, base, arbitrum"):
        ChainSettings(preset="bass", **RPC)


@pytest.mark.parametrize("chain_id", sorted(other_create2()))
def test_chains_that_compute_addresses_in_another_way_are_refused_for_forwarders(chain_id: int) -> None:
    token = {"symbol": "USDC", "address": "0x" + "12" * 20, "decimals": 6}
    chain: dict[str, Any] = {"chain_id": chain_id, "name": "zk", "confirmations": 1, "tokens": [token], **RPC}
    with pytest.raises(ValidationError, match=r"chains\.zk: chain \d+ computes contract addresses in another way"):
        Settings(chains=[chain], wallet={"treasury": "0x" + "11" * 20})
    xpub = "xpub6BosfCnifzxcFwrSzQiqu2DBVTshkCXacvNsWGYJVVhhawA7d4R5WSWGFNbi8Aw6ZRc1brxMyWMzG3DSSSSoekkudhUd9yLb6qx39T9nMdj"
    assert Settings(chains=[chain], wallet={"mode": "xpub", "xpub": xpub}).chains


def test_the_file_says_where_its_addresses_come_from() -> None:
    content = Path(module.__file__).with_name("presets.toml").read_text()
    assert tomllib.loads(content).keys() == presets().keys() | {"other_create2"}
    assert "two independent public token\n# lists" in content


PINNED = {
    ("ethereum", 1, "USDC"): "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
    ("ethereum", 1, "USDT"): "0xdAC17F958D2ee523a2206206994597C13D831ec7",
    ("base", 8453, "USDC"): "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    ("arbitrum", 42161, "USDC"): "0xaf88d065e77c8cC2239327C5EDb3A432268e5831",
    ("arbitrum", 42161, "USDT"): "0xFd086bC7CD5C481DCC9C85ebE478A1C0b69FCbb9",
    ("optimism", 10, "USDC"): "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85",
    ("optimism", 10, "USDT"): "0x94b008aA00579c1307B0EF2c499aD98a8ce58e58",
    ("polygon", 137, "USDC"): "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359",
    ("polygon", 137, "USDT"): "0xc2132D05D31c914a87C6611C10748AEb04B58e8F",
    ("bsc", 56, "USDC"): "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d",
    ("bsc", 56, "USDT"): "0x55d398326f99059fF775485246999027B3197955",
    ("avalanche", 43114, "USDC"): "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E",
    ("avalanche", 43114, "USDT"): "0x9702230A8Ea53601f5cD2dc00fDBc13d4dF4A8c7",
    ("celo", 42220, "USDC"): "0xcebA9300f2b948710d2653dD7B07f33A8B32118C",
    ("celo", 42220, "USDT"): "0x48065fbBE25f71C9282ddf5e1cD6D6A887483D5e",
}
"""Written a second time on purpose: one wrong digit in the data file sends nobody's money, but loses everybody's payments."""


def test_no_address_changes_by_accident() -> None:
    found = {
        (name, one["chain_id"], token["symbol"]): token["address"]
        for name, one in presets().items()
        for token in one["tokens"]
    }
    assert found == PINNED

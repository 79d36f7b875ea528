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
from billing.settings.presets import OTHER_CREATE2, presets

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
    assert len(set(ids)) == len(ids) and not set(ids) & OTHER_CREATE2
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


@pytest.mark.parametrize("chain_id", sorted(OTHER_CREATE2))
def test_chains_that_compute_addresses_in_another_way_are_refused_for_forwarders(chain_id: int) -> None:
    token = {"symbol": "USDC", "address": "0x" + "12" * 20, "decimals": 6}
    chain: dict[str, Any] = {"chain_id": chain_id, "name": "zk", "confirmations": 1, "tokens": [token], **RPC}
    with pytest.raises(ValidationError, match=r"chains\.zk: chain \d+ computes contract addresses in another way"):
        Settings(chains=[chain], wallet={"treasury": "0x" + "11" * 20})
    xpub = "xpub6BosfCnifzxcFwrSzQiqu2DBVTshkCXacvNsWGYJVVhhawA7d4R5WSWGFNbi8Aw6ZRc1brxMyWMzG3DSSSSoekkudhUd9yLb6qx39T9nMdj"
    assert Settings(chains=[chain], wallet={"mode": "xpub", "xpub": xpub}).chains


def test_the_file_says_where_its_addresses_come_from() -> None:
    content = Path(module.__file__).with_name("presets.toml").read_text()
    assert tomllib.loads(content).keys() == presets().keys()
    assert "two independent public token\n# lists" in content

"""What doctor says of the tags that payments wait for, and of those who sign for the treasury."""

from datetime import timedelta

import pytest

from billing.chain.policy import Finality
from billing.cli.doctor import signers, told_tag
from billing.core.errors import StablemeterError
from billing.core.onchain import Address
from billing.db.engine import Database
from billing.wallets.safe import Safe
from tests.chain.memory import MemoryChain, MemoryNode
from tests.chain.test_bands import Tagless, on, paid_long_ago


def test_one_endpoint_that_tells_a_tag_is_enough_and_none_or_an_old_one_is_wrong(database: Database) -> None:
    chain = paid_long_ago(MemoryChain())
    dead, good, rule = MemoryNode(chain), MemoryNode(chain), Finality(2, "finalized")
    dead.down = True
    tagged = good.block("finalized")
    assert tagged is not None
    now = tagged.mined_at + timedelta(minutes=1)
    told_tag(on(database, rule, dead, Tagless(chain), good), "finalized", now)
    with pytest.raises(StablemeterError, match="no block is finalized"):
        told_tag(on(database, rule, dead, Tagless(chain)), "finalized", now)
    with pytest.raises(StablemeterError, match="7200 s old"):
        told_tag(on(database, rule, good), "finalized", tagged.mined_at + timedelta(hours=2))


ANNE, BERT, EVE = (Address("0x" + digit * 40) for digit in "abe")


def test_who_signs_for_the_treasury_must_be_the_same_on_every_chain() -> None:
    ours = Safe((ANNE, BERT), 2)
    told = signers({"base": ours, "ethereum": Safe((BERT, ANNE), 2)})
    assert told.startswith("a Safe, 2 of 2 sign: 0x") and "ADVICE" not in told
    assert "ADVICE: one person alone" in signers({"base": Safe((ANNE, BERT), 1)})
    assert signers({"base": None}) == "a contract, but no Safe" and signers({}) == "no chain answers"
    for other in (Safe((ANNE, EVE), 2), Safe((ANNE, BERT), 1), None):
        with pytest.raises(StablemeterError, match="on one chain than on another: base: a Safe, 2 of 2"):
            signers({"base": ours, "ethereum": other})

"""What doctor says of the tags that payments wait for."""

from datetime import timedelta

import pytest

from billing.chain.policy import Finality
from billing.cli.doctor import told_tag
from billing.core.errors import StablemeterError
from billing.db.engine import Database
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

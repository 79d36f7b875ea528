"""A transfer that touched a watched address, with what its chain says about it."""

from dataclasses import dataclass
from datetime import datetime

from billing.chain.lifecycle import ChainState
from billing.core.onchain import Address, Hash32


@dataclass(frozen=True, slots=True)
class Transfer:
    """One Transfer log. `incarnation` counts how often it became part of the chain."""

    id: int
    chain_id: int
    block_number: int
    block_hash: Hash32
    log_index: int
    mined_at: datetime
    tx_hash: Hash32
    token: Address
    sender: Address
    receiver: Address
    units: int
    state: ChainState
    incarnation: int
    seen_at: datetime

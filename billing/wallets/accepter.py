"""Accepts chains for a wallet: only where its factory stands with the right code, and its treasury can be paid."""

from typing import Final, Protocol

from billing.core.clock import Clock
from billing.core.errors import Conflict
from billing.core.onchain import Address, checksum
from billing.db.engine import Database
from billing.wallets import store
from billing.wallets.wallet import ForwarderWallet, TreasuryKind, Wallet

DELEGATED: Final = bytes.fromhex("ef0100")
"""How the code of an account begins that is no contract: the address follows to which it delegates. See EIP-7702."""


class CodeReader(Protocol):
    """What is asked of a chain. A node implements it."""

    def code(self, address: Address) -> bytes: ...


def verify(wallet: Wallet, chain: str, reader: CodeReader) -> None:
    """Raises Conflict, with the remedy, when money sent to this wallet's addresses on the chain could be stuck."""
    if not isinstance(wallet, ForwarderWallet):
        return
    made = wallet.standard()
    if made is None:
        raise Conflict("the wallet's factory is not one that this version can verify")
    code = reader.code(made.factory)
    if not code:
        raise Conflict(
            f"the factory {checksum(made.factory)} is not deployed on {chain}",
            remedy=f"send the transaction of: stablemeter chain deploy-plan {chain}",
        )
    if code != made.runtime_code() or reader.code(made.implementation) != made.implementation_runtime_code():
        raise Conflict(
            f"the code at {checksum(made.factory)} on {chain} is not the factory's", remedy="do not use this chain"
        )
    if wallet.treasury_kind is not TreasuryKind.CONTRACT:
        return
    treasury = reader.code(wallet.treasury)
    if treasury.startswith(DELEGATED):
        raise Conflict(
            f"the treasury {checksum(wallet.treasury)} is a plain account on {chain} that delegates to a contract (EIP-7702)",
            remedy='its one key moves everything: declare it with wallet.treasury_kind = "eoa", or use a Safe',
        )
    if not treasury:
        raise Conflict(
            f"the treasury {checksum(wallet.treasury)} has no code on {chain}",
            remedy='deploy your Safe there first, or declare a plain account with wallet.treasury_kind = "eoa"',
        )


class Accepter:
    def __init__(self, database: Database, clock: Clock, wallet: Wallet | None) -> None:
        self._database, self._clock, self._wallet = database, clock, wallet

    def accept(self, chain_id: int, name: str, reader: CodeReader) -> None:
        """Verify the configured wallet on a chain, and offer the chain on invoices from now on."""
        if self._wallet is None:
            return
        verify(self._wallet, name, reader)
        now = self._clock.now()
        with self._database.transaction() as session:
            generation = store.generation(session, self._wallet, now)
            store.accept_chain(session, generation.id, chain_id, now)

    def accepted(self) -> set[int]:
        """The chains on which the configured wallet was accepted."""
        if self._wallet is None:
            return set()
        with self._database.transaction() as session:
            return store.accepted_chains(session, store.generation(session, self._wallet, self._clock.now()).id)

"""Plans payouts to owners, and marks what the treasury paid. Sends nothing."""

from collections.abc import Sequence

from billing.chain import store as chain_store
from billing.chain.lifecycle import ChainState
from billing.chain.store import tokens as token_store
from billing.chain.tokens import Token
from billing.chain.transfer import Transfer
from billing.core.clock import Clock
from billing.core.errors import Conflict, NotFound
from billing.core.money import Asset, decimal_text
from billing.core.onchain import Address, Hash32, checksum
from billing.db.engine import Database, Session
from billing.ledger import store as ledger
from billing.ledger.account import treasury as treasury_account
from billing.ledger.entry import EntryKind
from billing.owners import postings, store
from billing.owners.payout import Payee, Payout, PayoutPlan, payout_of
from billing.owners.share import Owner
from billing.owners.store import payees, settled
from billing.reconciliation.valuation import value_at_par
from billing.trail.store import Deed, record
from billing.treasury.payee import Screen, require_foreign, require_unlisted
from billing.wallets import store as wallets
from billing.wallets.wallet import ForwarderWallet, Wallet


class Payer:
    def __init__(self, database: Database, clock: Clock, screen: Screen, wallet: Wallet | None = None) -> None:
        """`wallet` is the configured one: its treasury pays. Without it nothing can be planned."""
        self._database, self._clock, self._screen, self._wallet = database, clock, screen, wallet

    def propose(self, owner: str, chain_id: int, address: Address, *, reason: str, actor: str) -> None:
        """Propose where an owner is paid on a chain. Raises NotFound, Invalid for one of our own addresses or a token, Conflict
        when it is in force already or is on a sanctions list, Unavailable while nobody can tell that."""
        now = self._clock.now()
        require_unlisted(chain_id, address, self._screen)
        with self._database.transaction() as session:
            found = store.by_slug(session, owner)
            contracts = {token for _, token in token_store.known(session)}
            require_foreign(address, wallets.known(session, address) is not None or address in contracts)
            payees.propose(session, found, chain_id, address, actor, now)
            details = {"chain_id": chain_id, "address": checksum(address)}
            record(session, Deed(now, actor, "owner.payee.propose", f"owner {owner}", reason, details))

    def confirm(self, owner: str, chain_id: int, address: Address, *, reason: str, actor: str) -> None:
        """Confirm what somebody else proposed: from now on the owner is paid there. Raises NotFound, or Conflict when the same
        person proposed it or it is on a sanctions list by now."""
        now = self._clock.now()
        require_unlisted(chain_id, address, self._screen)
        with self._database.transaction() as session:
            payees.confirm(session, store.by_slug(session, owner), chain_id, address, actor, now)
            details = {"chain_id": chain_id, "address": checksum(address)}
            record(session, Deed(now, actor, "owner.payee.confirm", f"owner {owner}", reason, details))

    def payees(self, owner: str = "") -> list[Payee]:
        """All of them, those that ended too. Raises NotFound."""
        with self._database.transaction() as session:
            return payees.listed(session, owner_id=store.by_slug(session, owner).id if owner else None)

    def plan(self, token: Token, owners: Sequence[str] = ()) -> PayoutPlan:
        """What owners (all, or some) are owed in a token's currency, as transfers of the token at par from the treasury.

        Raises NotFound for an unknown owner, Conflict without a treasury of ours to pay from, Unavailable while nobody can
        tell who is on a sanctions list.
        """
        if not isinstance(self._wallet, ForwarderWallet):
            raise Conflict("no treasury is configured that could pay", remedy="wallet.treasury names it")
        with self._database.transaction() as session:
            asset = token.asset.code
            held = ledger.balance(session, treasury_account(token.chain_id, token.symbol), asset)
            plan = PayoutPlan(self._wallet.treasury, token, held)
            wanted = [store.by_slug(session, slug) for slug in dict.fromkeys(owners)] or store.listed(session)
            currency = Asset(token.currency, settled.exponents(session).get(token.currency, 0))
            for owner in wanted:
                self._add(session, plan, owner, currency)
        plan.payouts = [one for one in plan.payouts if self._may_be_paid(plan, one)]
        return plan

    def _may_be_paid(self, plan: PayoutPlan, payout: Payout) -> bool:
        """Leaves out who is on a sanctions list by now."""
        name = self._screen(plan.token.chain_id, payout.to)
        if name:
            plan.left_out.append((payout.owner, f"is not paid: {checksum(payout.to)} is on {name}"))
        return not name

    @staticmethod
    def _add(session: Session, plan: PayoutPlan, owner: Owner, currency: Asset) -> None:
        token = plan.token
        owed = settled.owed(session, owner.slug).get(token.currency, 0)
        present = [
            one
            for one in payees.listed(session, owner_id=owner.id, chain_id=token.chain_id)
            if one.confirmed_at is not None and one.ended_at is None
        ]
        seen = payees.unmarked(session, owner.id, token.chain_id)
        payout = payout_of(owner.slug, present[0].address, token, owed, currency) if present else None
        if owed <= 0:
            plan.left_out.append((owner.slug, f"is owed {decimal_text(owed, currency.exponent)} {currency.code}"))
        elif not present:
            plan.left_out.append((owner.slug, "has no confirmed address on this chain (owner payee)"))
        elif seen:
            plan.left_out.append(
                (owner.slug, f"was sent something that nobody marked: owner paid {owner.slug} {seen[0]}")
            )
        elif payout is None:
            plan.left_out.append((owner.slug, f"is owed less than the smallest unit of {token.symbol}"))
        else:
            plan.payouts.append(payout)

    def paid(self, owner: str, tx_hash: Hash32, *, reason: str, actor: str) -> str:
        """Mark what the treasury sent to an owner in a transaction as paid out, and answer how much that was.

        Raises NotFound when the treasury sent the owner nothing in it; Conflict while that does not count yet, when it was marked
        already, or is more than what is owed.
        """
        now = self._clock.now()
        with self._database.transaction() as session:
            found = store.by_slug(session, owner)
            settled.lock(session)
            transfers = self._transfers(session, found, tx_hash)
            tokens, exponents = token_store.known(session), settled.exponents(session)
            told = []
            for transfer in transfers:
                token = tokens[transfer.chain_id, transfer.token]
                currency = Asset(token.currency, exponents.get(token.currency, 0))
                value = value_at_par(transfer.units, token.decimals, currency)
                owed = settled.owed(session, owner).get(token.currency, 0)
                amount = f"{decimal_text(value, currency.exponent)} {currency.code}"
                if value > owed:
                    raise Conflict(
                        f"{amount} is more than the {decimal_text(owed, currency.exponent)} that {owner} is owed",
                        remedy="settle first: stablemeter owner settle",
                    )
                ledger.post(session, postings.payout(transfer, token, owner, value, now))
                told.append(amount)
            details = {"tx_hash": tx_hash, "amounts": told}
            record(session, Deed(now, actor, "owner.paid", f"owner {owner}", reason, details))
        return ", ".join(told)

    @staticmethod
    def _transfers(session: Session, owner: Owner, tx_hash: Hash32) -> list[Transfer]:
        """The treasury's transfers to the owner in a transaction, all of them booked and not marked yet."""
        ours = payees.treasuries(session)
        places = {(one.chain_id, one.address) for one in payees.listed(session, owner_id=owner.id) if one.confirmed_at}
        found = [
            one
            for one in chain_store.of_transaction(session, tx_hash)
            if one.sender in ours and (one.chain_id, one.receiver) in places and one.state is not ChainState.ORPHANED
        ]
        if not found:
            raise NotFound(
                f"the treasury sent nothing to a confirmed address of {owner.slug} in {tx_hash}",
                remedy="see: stablemeter owner payees, chain inspect",
            )
        for one in found:
            kinds = {entry.kind for entry in ledger.of_transfer(session, one.id, one.incarnation)}
            if postings.PAYOUT in kinds:
                raise Conflict(f"{tx_hash} was marked as paid out already")
            if EntryKind.EXTERNAL not in kinds:
                raise Conflict(f"{tx_hash} is not booked yet", remedy="wait until it counts, or: stablemeter reconcile")
        return found

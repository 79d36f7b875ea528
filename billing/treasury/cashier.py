"""Keeps payees: one person proposes an address, another one confirms it. Each step is in the trail with its reason."""

from collections.abc import Collection

from billing.chain.store import tokens
from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.onchain import checksum, parse_address
from billing.db.engine import Database, Session
from billing.tenants import store as tenants
from billing.trail.store import Deed, record
from billing.treasury.payee import Payee, PayeeState, Screen, require_foreign, require_second, require_unlisted
from billing.treasury.store import payees
from billing.wallets import store as wallets


class Cashier:
    def __init__(self, database: Database, clock: Clock, chains: Collection[int], screen: Screen) -> None:
        """`chains` are the ids of those that are followed."""
        self._database, self._clock, self._chains, self._screen = database, clock, chains, screen

    def propose(self, tenant: str, chain_id: int, address: str, *, reason: str, actor: str) -> Payee:
        """Raises Invalid for what is no address of somebody else's, Conflict when it is a payee already or is on a sanctions list,
        Unavailable while nobody can tell that."""
        _require(reason)
        if chain_id not in self._chains:
            raise NotFound(f"no chain {chain_id} is configured", remedy="see [[chains]]")
        at, now = parse_address(address), self._clock.now()
        require_unlisted(chain_id, at, self._screen)
        with self._database.transaction() as session:
            tenant_id = tenants.by_slug(session, tenant).id
            contracts = {token for _, token in tokens.known(session)}
            require_foreign(at, wallets.known(session, at) is not None or at in contracts)
            payee_id = payees.propose(session, tenant_id, (chain_id, at), (reason, actor, now))
            (payee,) = payees.listed(session, ids=[payee_id])
            self._note(session, "payee.propose", payee, reason, actor)
        return payee

    def confirm(self, payee_id: int, *, reason: str, actor: str) -> Payee:
        """Raises Conflict for the person who proposed it, while another payee of the tenant is confirmed there, and for an address
        that is on a sanctions list by now."""
        _require(reason)
        with self._database.transaction() as session:
            payee = payees.hold(session, payee_id)
            require_second(payee, actor)
            require_unlisted(payee.chain_id, payee.address, self._screen)
            payees.confirm(session, payee, actor, self._clock.now())
            self._note(session, "payee.confirm", payee, reason, actor)
            return payees.hold(session, payee_id)

    def revoke(self, payee_id: int, *, reason: str, actor: str) -> Payee:
        """Nothing is planned to it any more."""
        _require(reason)
        with self._database.transaction() as session:
            payee = payees.hold(session, payee_id)
            if payee.state is PayeeState.REVOKED:
                raise Conflict(f"payee {payee.id} was revoked by {payee.revoked_by}")
            payees.revoke(session, payee, actor, self._clock.now())
            self._note(session, "payee.revoke", payee, reason, actor)
            return payees.hold(session, payee_id)

    def _note(self, session: Session, action: str, payee: Payee, reason: str, actor: str) -> None:
        details = {"tenant": payee.tenant, "chain_id": payee.chain_id, "address": checksum(payee.address)}
        record(session, Deed(self._clock.now(), actor, action, f"payee {payee.id}", reason, details))


def _require(reason: str) -> None:
    if not reason.strip():
        raise Invalid("a payee needs a reason", remedy="--reason '...'")

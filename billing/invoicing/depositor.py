"""Gives tenants their deposit addresses. As with invoices, the document is in the archive before anybody sees its address."""

from dataclasses import dataclass, field
from datetime import datetime

from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid, Unavailable
from billing.core.money import Asset
from billing.core.onchain import Hash32
from billing.db.engine import Database, Session
from billing.invoicing import deposit, store
from billing.invoicing import document as documents
from billing.invoicing.addressing import Addressing
from billing.invoicing.archive import Archive, Prepared
from billing.invoicing.compose import Header, nonce
from billing.invoicing.deposit import Deposit
from billing.invoicing.document import Replaced, Settlement
from billing.invoicing.guard import Guard
from billing.invoicing.numbering import number_text
from billing.invoicing.store import deposits
from billing.invoicing.writer import House
from billing.pricing import store as pricing
from billing.tenants import store as tenants
from billing.tenants.tenant import Tenant
from billing.trail.store import Deed, record
from billing.wallets.store import Generation, PaymentAddress


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose address, and why. `renew` replaces the one that there is; that needs a reason, for the tenant must be told."""

    tenant: str
    renew: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.renew and not self.reason.strip():
            raise Invalid("a new deposit address in place of another one needs a reason", remedy="--reason '...'")


@dataclass(frozen=True, slots=True)
class Shown:
    """A tenant's address. `made`: it is new. `outdated` is in what its document differs from what a new one would say."""

    deposit: Deposit
    made: bool = False
    outdated: list[str] = field(default_factory=list)


class Depositor:
    def __init__(self, database: Database, clock: Clock, archive: Archive, house: House) -> None:
        self._database, self._clock, self._archive, self._house = database, clock, archive, house
        self._addressing = Addressing(house.wallet, house.account, house.offers)

    def give(self, wanted: Wanted, *, actor: str) -> Shown:
        """Make a tenant's deposit address; or show it, when it was made before.

        Raises Conflict when its money is owed by a reseller, or nothing may be paid with yet.
        """
        with self._database.transaction() as session:
            shown = self.within(session, wanted, actor=actor)
        self.confirm(shown)
        return shown

    def within(self, session: Session, wanted: Wanted, *, actor: str) -> Shown:
        """As `give`, in a transaction that has written nothing yet. Whoever commits it confirms it afterwards; if that is
        never done, whoever issues next does it."""
        now = self._clock.now().replace(microsecond=0)
        Guard(self._archive).check(session, now)
        tenant = tenants.by_slug(session, wanted.tenant)
        if tenant.reseller:
            raise Conflict(
                f"{tenant.slug} is billed through {tenant.reseller}",
                remedy=f"stablemeter tenant deposit-address {tenant.reseller}",
            )
        deposits.hold(session, tenant.id)
        currency = pricing.currency(session)
        live = deposits.live(session, tenant.id, currency.code)
        if live is not None and self._house.wallet is None and not wanted.renew:
            return Shown(live)
        generation = self._addressing.generation(session, now)
        if live is not None and live.generation_id == generation.id and not wanted.renew:
            return self._compared(session, live, generation)
        settlement = self._addressing.settlement(session, generation, currency.code)
        made = self._write(session, (tenant, currency), live, (generation, settlement), now)
        details = {"digest": made.digest, "replaces": made.replaces}
        record(session, Deed(now, actor, "deposit.give", f"tenant {tenant.slug}", wanted.reason, details))
        return Shown(made, made=True)

    def confirm(self, shown: Shown) -> None:
        """The transaction in which an address was made is committed."""
        if shown.made:
            self._archive.issued([shown.deposit.digest], self._clock.now().replace(microsecond=0))

    def _compared(self, session: Session, live: Deposit, generation: Generation) -> Shown:
        try:
            today = self._addressing.settlement(session, generation, live.currency.code)
        except Unavailable:  # nothing may be paid with today: what there is is shown all the same
            return Shown(live)
        return Shown(live, outdated=deposit.outdated(live.document, today, self._house.issuer))

    def _write(
        self,
        session: Session,
        whose: tuple[Tenant, Asset],
        before: Deposit | None,
        paid_into: tuple[Generation, list[Settlement]],
        now: datetime,
    ) -> Deposit:
        generation, settlement = paid_into
        index = self._addressing.next_index(session, generation)
        series = deposit.deposit_series(self._house.series)
        number = number_text(series, store.next_counter(session, series))
        replaces = Replaced(number=before.number, digest=before.digest) if before else None
        header = Header(self._house.issuer, number, nonce(), now, replaces, self._addressing.terms(index), settlement)
        document = deposit.document(*whose, header)
        content = documents.canonical(document)
        digest: Hash32 = documents.digest(content)
        given = deposits.Given(whose[0].id, document, content, digest, series, before.id if before else None)
        deposit_id = deposits.add(session, given)
        address, salt = self._addressing.salted(digest, index)
        row = PaymentAddress(address, "deposit", generation.id, None, salt, index, deposit_id)
        deposits.watch(session, row, now)
        self._archive.prepare([Prepared(content, digest, number, index)], now)
        return deposits.by_id(session, deposit_id)

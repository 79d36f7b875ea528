"""Drafts the invoices of a period: for a preview, or to be issued."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing.core.errors import Conflict, NotFound
from billing.core.period import Span, at_second, rfc3339
from billing.db.engine import Database, Session
from billing.events import store as events
from billing.events.meter import Meter
from billing.invoicing import store
from billing.invoicing.draft import Draft, DraftLine, adjusted, adjustments, drafts, taxed, use_credit
from billing.invoicing.goodwill import not_twice
from billing.invoicing.store import notes, periods
from billing.invoicing.store.credit import credit_held, holders
from billing.leasing import store as leasing
from billing.metering.reading import REREADS
from billing.metering.store import decisions, readings
from billing.pricing.rater import rated, unpriced
from billing.pricing.store import agreements
from billing.pricing.store import meters as priced_meters
from billing.tenants import store as tenants
from billing.tenants.cycle import MONTHLY
from billing.tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Drafted:
    """`drafts` may be issued. `late` is what periods that were invoiced lack: each comes as an adjustment on its payer's
    next invoice, whose period `billed_on` tells by payer. `carried` is what nothing is there to be set off against."""

    drafts: list[Draft]
    late: list[Draft]
    billed_on: dict[int, Span]
    carried: list[Draft]


class Incomplete(Conflict):
    """Usage of a period may still change by itself."""


class Drafter:
    def __init__(self, database: Database, sources: Sequence[str], meters: Sequence[Meter] = ()) -> None:
        """`sources` are the configured ones: a period is complete once all of them were read to its end. `meters` are the
        declared ones: pushed events have no end that could be waited for, but for the grace of the cycle."""
        self._database, self._sources, self._meters = database, sources, meters

    def preview(self, period: Span, payer: str = "") -> Drafted:
        """What would be invoiced for a period as things are now, complete or not. Writes nothing."""
        with self._database.transaction() as session:
            return self.draft(session, period, payer)

    def draft(
        self, session: Session, period: Span, payer: str = "", only: Collection[int] | None = None, *, final: bool = True
    ) -> Drafted:  # fmt: skip
        """Drafts of one payer, of `only` some, or of all that are invoiced in such periods; with the adjustments of their
        earlier invoices. What is not `final` is a part of a period that still runs.

        Raises Conflict for usage without a price, NotFound for an unknown payer.
        """
        everybody = tenants.by_id(session, only)
        wanted = self._payers(session, everybody, period, payer, only)
        who = None if wanted is None else _consumers(everybody, wanted)
        found = rated(session, period, who, self._meters, final=final)
        standing = {
            tenant_id for tenant_id, stands in store.payers_with_invoice(session, period, wanted).items() if stands
        }
        mine = [
            draft
            for draft in drafts(found.lines, everybody, found.titles, period, found.currency)
            if wanted is None or draft.payer.id in wanted
        ]
        late = [draft for draft in mine if draft.payer.id in standing]
        result = Drafted([], late, periods.next_periods(session, period, [draft.payer.id for draft in late]), [])
        own = {draft.payer.slug: draft for draft in mine if draft.payer.id not in standing}
        lacking = self._lacking(session, period, everybody, standing, wanted)
        by_slug = {tenant.slug: tenant for tenant in everybody.values()}
        with_credit = holders(session, everybody)
        rules = tenants.taxes_of(session, everybody, period.end - timedelta(seconds=1))
        for slug in sorted({*own, *lacking}):
            base = own.get(slug) or Draft(by_slug[slug], period, found.currency, ())
            draft = taxed(
                adjusted(replace(base, progressive=not final), lacking.get(slug, ())), rules.get(base.payer.id)
            )
            if draft.total.units > 0 or (slug in own and draft.lines):
                held = credit_held(session, base.payer.id, draft.currency.code) if base.payer.id in with_credit else []
                order = draft.payer.purchase_order
                used = use_credit(held, draft.total.units)
                result.drafts.append(replace(draft, credits=used, purchase_order=order))
            elif draft.carried:
                result.carried.append(draft)
        return result

    def _lacking(
        self,
        session: Session,
        period: Span,
        everybody: Mapping[int, Tenant],
        standing: set[int],
        wanted: Collection[int] | None,
    ) -> dict[str, tuple[DraftLine, ...]]:
        """By payer, what its invoiced periods before this one lack: each rated as a whole, at its own prices, less what was
        charged for it so far."""
        closed: list[Draft] = []
        for earlier, payers in sorted(periods.adjustable(session, period).items()):
            asked = payers - standing if wanted is None else (payers - standing) & set(wanted)
            consumers = _consumers(everybody, asked & everybody.keys())
            if consumers:
                found = rated(session, earlier, consumers, self._meters, closed=True)
                net = notes.net_charged(session, earlier, consumers)
                closed += [
                    replace(one, lines=not_twice(one.lines, net))
                    for one in drafts(found.lines, everybody, found.titles, earlier, found.currency)
                ]
        return adjustments(closed)

    def first_use(self, session: Session) -> datetime | None:
        """The first moment that anything may have to be invoiced for."""
        known = [store.first_usage(session), events.first(session, self._sold(session)), agreements.first(session)]
        return min((at for at in known if at is not None), default=None)

    def used_payers(self, session: Session, period: Span) -> set[int]:
        """Who has to pay for something in a period."""
        return (
            store.used_payers(session, period)
            | events.payers(session, self._sold(session), period, priced_meters.sold_since(session))
            | agreements.owing(session, period)
        )

    def _sold(self, session: Session) -> list[Meter]:
        skus = priced_meters.priced(session)
        return [meter for meter in self._meters if meter.name in skus]

    def payers(self, session: Session, period: Span, payer: str = "", only: Collection[int] | None = None) -> list[int]:
        """Who may get an invoice for a period, by slug: those that used or owe something in it, or whose earlier invoices may
        lack something; or one payer. Raises Conflict when anything used in the period has no price, NotFound for an unknown
        payer."""
        everybody = tenants.by_id(session)
        wanted = self._payers(session, everybody, period, payer, only)
        if missing := unpriced(session, period, self._meters):
            raise Conflict(
                f"cannot rate {period}: {'; '.join(one.line for one in missing[:3])}",
                remedy="complete the price book and apply it",
            )
        found = self.used_payers(session, period).union(*periods.adjustable(session, period).values())
        chosen = found if wanted is None else set(wanted) if payer else found & set(wanted)
        return sorted(chosen, key=lambda one: everybody[one].slug)

    def require_complete(self, session: Session, period: Span, now: datetime, *, final: bool = True) -> None:
        """Raises Incomplete when usage of the period may still change by itself: windows that were not read, or (when it is
        `final`) not once more after a day; leases, labels, gap rules and decisions that usage does not reflect yet; leased time
        from before a source was read."""
        pending = [*leasing.underived(session), *tenants.underived_claims(session)]
        pending += [*tenants.underived_gaps(session), *decisions.underived(session)]
        if any(span.start < period.end and period.start < span.end for _, span in pending):
            raise Incomplete(
                "leases, labels, gap rules or exclusions changed and usage does not reflect it yet",
                remedy="the collector does it within a minute; by hand: stablemeter meter collect",
            )
        early = readings.leased_before(session, period)
        if early is not None:
            raise Incomplete(
                f"GPU {early[0]} is leased from {rfc3339(early[2])}, before {early[1]} was read",
                remedy=f'set since = "{rfc3339(early[2])}" for that source, or begin the lease later',
            )
        known = readings.sources(session)
        for name in self._sources:
            source_id = known[name][0] if name in known else None
            if source_id is None or (since := readings.since(session, source_id)) >= period.end:
                continue
            unread = readings.unread(session, source_id, Span(max(since, period.start), period.end).seconds)
            if unread:
                first = rfc3339(at_second(min(start for start, _ in unread)))
                raise Incomplete(
                    f"source {name} was not read from {first} on",
                    remedy=f"stablemeter meter collect --from {first} --to ...",
                )
            young = readings.unripe(session, source_id, period, now, REREADS[-1]) if final else None
            if young is not None:
                raise Incomplete(
                    f"source {name} must be read once more from {rfc3339(at_second(young[0]))} on: samples may have come late",
                    remedy="the collector does it; by hand: stablemeter meter collect --from ... --to ...",
                )

    @staticmethod
    def _payers(
        session: Session, everybody: Mapping[int, Tenant], period: Span, payer: str, only: Collection[int] | None
    ) -> Collection[int] | None:
        """Whose drafts are asked for; None is everybody's."""
        if payer:
            found = {tenant.id for tenant in everybody.values() if tenant.slug == payer}
            if not found:
                raise NotFound(f"there is no tenant {payer}", remedy="see: stablemeter tenant list")
            return found
        if only is not None:
            return only
        own = tenants.cycles(session)
        if not own and MONTHLY.period_of(period.start) == period:
            return None
        return {one for one in everybody if own.get(one, MONTHLY).period_of(period.start) == period}


def _consumers(everybody: Mapping[int, Tenant], payers: Collection[int]) -> list[int]:
    """Who some payers pay for, themselves included."""
    slugs = {everybody[payer].slug for payer in payers}
    return [tenant.id for tenant in everybody.values() if (tenant.reseller or tenant.slug) in slugs]

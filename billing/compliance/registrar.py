"""Records KYC and attestations, and says who may hold what."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from typing import Final

from billing.compliance.register import UNKNOWN, Attestation, Kyc, KycStatus, Party, Rules
from billing.compliance.store import known as store
from billing.core.clock import Clock
from billing.core.errors import Conflict, Invalid
from billing.core.period import Span
from billing.db.engine import Database, Session
from billing.trail.store import Deed, record

REASON_MAX: Final = 500


class Register:
    """Tenants are named by (id, slug): whoever asks knows them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def decide_kyc(
        self, tenant: tuple[int, str], status: KycStatus, *, on: date | None = None, reason: str, actor: str
    ) -> Kyc:
        """What was found out about who a tenant is. Raises Invalid without a reason, or for a day that is not over yet."""
        now = self._clock.now()
        _explained(reason)
        decided = Kyc(status, on or now.date(), reason, actor, now)
        if decided.decided_on > now.date():
            raise Invalid(f"nobody can have decided on {decided.decided_on} yet", remedy="leave --on out for today")
        with self._database.transaction() as session:
            store.add_kyc(session, tenant[0], decided)
            details = {"status": status.value, "on": decided.decided_on.isoformat()}
            record(session, Deed(now, actor, "compliance.kyc", f"tenant {tenant[1]}", reason, details))
        return decided

    def attest(self, tenant: tuple[int, str], given: Attestation, *, actor: str) -> Attestation:
        """Raises Conflict when the same paper attests the same already."""
        now = self._clock.now()
        attestation = replace(given, recorded_by=actor, recorded_at=now)
        with self._database.transaction() as session:
            known = store.known(session, [tenant[0]]).get(tenant[0], UNKNOWN)
            if any(
                (one.kind, one.reference, one.revoked_at) == (given.kind, given.reference, None)
                for one in known.attestations
            ):
                raise Conflict(
                    f"{given.reference} attests {given.kind} of {tenant[1]} already",
                    remedy="revoke it, or name another",
                )
            store.add_attestation(session, tenant[0], attestation)
            details = {
                "kind": given.kind,
                "granted_on": given.granted_on.isoformat(),
                "expires_on": given.expires_on.isoformat(),
                "reference": given.reference,
            }
            record(session, Deed(now, actor, "compliance.attest", f"tenant {tenant[1]}", details=details))
        return attestation

    def revoke(self, tenant: tuple[int, str], kind: str, reference: str, *, reason: str, actor: str) -> None:
        """An attestation does not count any more, from now on. Raises NotFound."""
        now = self._clock.now()
        _explained(reason)
        with self._database.transaction() as session:
            store.revoke(session, tenant[0], (kind, reference), (now, actor, reason))
            details = {"kind": kind, "reference": reference}
            record(session, Deed(now, actor, "compliance.revoke", f"tenant {tenant[1]}", reason, details))


class Gate:
    """Lets a party hold GPUs, or names the rule that forbids it."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self.rules, self._clock = rules, clock

    def admit(self, session: Session, party: Party, models: Collection[str], span: Span) -> None:
        """Raises Conflict."""
        if not self.rules.on:
            return
        reasons = self.reasons(session, party, models, span)
        if reasons:
            raise Conflict(f"refused by {'; '.join(reasons)}", remedy="see: stablemeter compliance tenant show")

    def reasons(self, session: Session, party: Party, models: Collection[str], span: Span) -> list[str]:
        parties = [party, *([party.reseller] if party.reseller is not None else [])]
        found = store.known(session, [one.tenant_id for one in parties])
        known = [found.get(one.tenant_id, UNKNOWN) for one in parties]
        return self.rules.reasons(party, known, models, span, self._clock.now())


def _explained(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_MAX or not reason.isprintable():
        raise Invalid(f"a reason of at most {REASON_MAX} characters is needed", remedy="--reason '...'")

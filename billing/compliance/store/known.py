"""Rows of what is known of tenants, and of who held which GPU."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.compliance.register import Attestation, Known, Kyc, KycStatus
from billing.core.errors import NotFound
from billing.core.period import Span
from billing.db.tables.compliance import AttestationRow, KycRow


def add_kyc(session: Session, tenant_id: int, kyc: Kyc) -> None:
    session.add(
        KycRow(
            tenant_id=tenant_id,
            status=kyc.status,
            decided_on=kyc.decided_on,
            reason=kyc.reason,
            recorded_by=kyc.recorded_by,
            recorded_at=kyc.recorded_at,
        )
    )
    session.flush()


def add_attestation(session: Session, tenant_id: int, given: Attestation) -> None:
    session.add(AttestationRow(tenant_id=tenant_id, **asdict(given)))
    session.flush()


def revoke(session: Session, tenant_id: int, which: tuple[str, str], how: tuple[datetime, str, str]) -> None:
    """`which` is (kind, reference), `how` (when, who, why). Raises NotFound."""
    row = session.exec(
        select(AttestationRow)
        .where(
            AttestationRow.tenant_id == tenant_id,
            AttestationRow.kind == which[0],
            AttestationRow.reference == which[1],
            col(AttestationRow.revoked_at).is_(None),
        )
        .with_for_update()
    ).first()
    if row is None:
        raise NotFound(f"there is no attestation {which[0]} with the reference {which[1]} that stands")
    row.revoked_at, row.revoked_by, row.revoked_reason = how
    session.add(row)
    session.flush()


def known(session: Session, tenant_ids: Collection[int]) -> dict[int, Known]:
    """What is known of some tenants, in the order in which it was recorded."""
    kyc: dict[int, list[Kyc]] = defaultdict(list)
    attestations: dict[int, list[Attestation]] = defaultdict(list)
    for one in session.exec(select(KycRow).where(col(KycRow.tenant_id).in_(tenant_ids)).order_by(col(KycRow.id))):
        kyc[one.tenant_id].append(
            Kyc(KycStatus(one.status), one.decided_on, one.reason, one.recorded_by, one.recorded_at)
        )
    for row in session.exec(
        select(AttestationRow).where(col(AttestationRow.tenant_id).in_(tenant_ids)).order_by(col(AttestationRow.id))
    ):
        attestations[row.tenant_id].append(Attestation(**row.model_dump(exclude={"id", "tenant_id"})))
    return {one: Known(tuple(kyc[one]), tuple(attestations[one])) for one in {*kyc, *attestations}}


@dataclass(frozen=True, slots=True)
class Use:
    """A tenant held a GPU, or a part of one, for a span: by a lease, or because a label said so (`lease` is empty)."""

    tenant_id: int
    uuid: str
    model: str
    profile: str
    host: str
    lease: str
    span: Span


def uses(session: Session, models: Collection[str], span: Span) -> list[Use]:
    """Who held GPUs of some models in a span. A lease counts whole: what is not billed of it was held all the same."""
    rows = session.execute(
        text(
            "SELECT l.tenant_id, g.uuid, g.model, '' AS profile, g.host, l.reference AS lease,"
            "  lower(l.during * r.span) AS start, upper(l.during * r.span) AS until"
            " FROM (SELECT tstzrange(:start, :end) AS span) r, lease l JOIN gpu g ON g.id = l.gpu_id"
            " WHERE l.cancelled_at IS NULL AND l.during && r.span AND g.model = ANY(:models)"
            " UNION ALL SELECT u.tenant_id, g.uuid, g.model, d.profile, g.host, '', lower(u.during * r.span),"
            "  upper(u.during * r.span)"
            " FROM (SELECT tstzrange(:start, :end) AS span) r, usage u JOIN device d ON d.id = u.device_id"
            "  JOIN gpu g ON g.id = d.gpu_id"
            " WHERE u.superseded_at IS NULL AND u.lease_id IS NULL AND u.during && r.span AND g.model = ANY(:models)"
            " ORDER BY start, uuid, profile, tenant_id"
        ),
        {"start": span.start, "end": span.end, "models": list(models)},
    )
    return [
        Use(row.tenant_id, row.uuid, row.model, row.profile, row.host, row.lease, Span(row.start, row.until))
        for row in rows
    ]

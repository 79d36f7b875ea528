"""Rows of fees, minimums and discounts."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from billing.core.period import Span
from billing.db.tables.pricing import AgreementRow
from billing.pricing.agreement import Agreement, AgreementKind


def in_force(session: Session, period: Span) -> list[Agreement]:
    rows = session.exec(
        select(AgreementRow)
        .where(col(AgreementRow.superseded_at).is_(None), col(AgreementRow.during).op("&&")(period))
        .order_by(AgreementRow.code)
    )
    return [agreement_of(row) for row in rows]


def agreement_of(row: AgreementRow) -> Agreement:
    return Agreement(
        AgreementKind(row.kind),
        row.code,
        row.title,
        row.tenant_id,
        frozenset(row.skus),
        row.amount,
        row.percent,
        row.during,
        row.prorate,
    )


def owing(session: Session, period: Span) -> set[int]:
    """Payers that owe a fee or a minimum for some of a period, whether they use anything or not."""
    return {
        one.tenant_id for one in in_force(session, period) if one.tenant_id and one.kind is not AgreementKind.DISCOUNT
    }


def first(session: Session) -> datetime | None:
    """The first moment from which anybody owes a fee or a minimum."""
    rows = session.exec(
        select(func.min(func.lower(AgreementRow.during))).where(
            col(AgreementRow.superseded_at).is_(None), AgreementRow.kind != AgreementKind.DISCOUNT
        )
    )
    found: datetime | None = rows.first()
    return found

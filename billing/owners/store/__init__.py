"""Rows of owners, shares and fees."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from billing.core.errors import Conflict, Invalid, NotFound
from billing.core.period import Span, at_second, epoch_seconds, rfc3339
from billing.db.tables.fleet import GpuRow
from billing.db.tables.owners import FeeRow, OwnerRow, ShareRow
from billing.owners.share import Fee, Held, Owner, Share, share_text, too_much
from billing.owners.statement import Ownership


def add(session: Session, owner: Owner, now: datetime) -> Owner:
    """Raises Conflict when the slug is taken."""
    if session.exec(select(OwnerRow.id).where(OwnerRow.slug == owner.slug)).first() is not None:
        raise Conflict(f"owner {owner.slug} exists already")
    row = OwnerRow(
        slug=owner.slug,
        name=owner.name,
        legal_name=owner.legal_name,
        country=owner.country,
        email=owner.email,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return _owner(row)


def by_slug(session: Session, slug: str) -> Owner:
    """Raises NotFound."""
    row = session.exec(select(OwnerRow).where(OwnerRow.slug == slug)).first()
    if row is None:
        raise NotFound(f"there is no owner {slug}", remedy="see: stablemeter owner list")
    return _owner(row)


def listed(session: Session, *, after_id: int = 0, limit: int = 100_000) -> list[Owner]:
    """Owners in the order in which they were added."""
    query = select(OwnerRow).where(col(OwnerRow.id) > after_id).order_by(col(OwnerRow.id)).limit(limit)
    return [_owner(row) for row in session.exec(query)]


def _owner(row: OwnerRow) -> Owner:
    return Owner(row.slug, row.name, row.legal_name, row.country, row.email, row.id or 0)


def add_shares(session: Session, owner_id: int, gpu_ids: Sequence[int], parts: int, span: Span, now: datetime) -> None:
    """Raises Conflict, before anything is written, when a GPU would be owned more than once at some moment. Of two writers at
    once the database refuses the second."""
    known = _shares(session, gpu_ids)
    for gpu_id in gpu_ids:
        found = too_much([*known.get(gpu_id, ()), Share(owner_id, gpu_id, parts, span.seconds)])
        if found is not None:
            raise Conflict(
                _owned_twice(session, gpu_id, *found), remedy="end a share first: see stablemeter owner show"
            )
    session.add_all(
        ShareRow(owner_id=owner_id, gpu_id=gpu_id, parts=parts, during=span, created_at=now) for gpu_id in gpu_ids
    )
    session.flush()


def _owned_twice(session: Session, gpu_id: int, at: int, parts: int) -> str:
    others = [one for one in shares(session, gpu_ids=[gpu_id]) if one.span.contains(at_second(at))]
    who = ", ".join(f"{one.owner} owns {share_text(one.parts)}" for one in others)
    uuid = session.get_one(GpuRow, gpu_id).uuid
    return f"of GPU {uuid} {share_text(parts)} would be owned at {rfc3339(at_second(at))}{': ' if who else ''}{who}"


def end_share(session: Session, share_id: int, at: datetime, now: datetime) -> Held:
    """End a share at a time; one that would not have begun by then is cancelled. Raises NotFound, Conflict when it has ended
    already by then."""
    row = session.exec(
        select(ShareRow).where(ShareRow.id == share_id, col(ShareRow.cancelled_at).is_(None)).with_for_update()
    ).first()
    if row is None:
        raise NotFound(f"there is no share {share_id}", remedy="see: stablemeter owner show")
    if at >= row.during.end:
        raise Conflict(f"share {share_id} ended at {rfc3339(row.during.end)} already")
    found = next(one for one in shares(session, gpu_ids=[row.gpu_id]) if one.id == share_id)
    if at <= row.during.start:
        row.cancelled_at = now
    else:
        row.during = Span(row.during.start, at)
    session.add(row)
    session.flush()
    return found


def shares(session: Session, *, owner_id: int | None = None, gpu_ids: Sequence[int] | None = None) -> list[Held]:
    """Shares that were not cancelled: all, those of an owner, or of some GPUs; by host and GPU, then by time."""
    query = (
        select(ShareRow, OwnerRow.slug, GpuRow.uuid, GpuRow.host)
        .join(OwnerRow, col(OwnerRow.id) == ShareRow.owner_id)
        .join(GpuRow, col(GpuRow.id) == ShareRow.gpu_id)
        .where(col(ShareRow.cancelled_at).is_(None))
        .order_by(GpuRow.host, GpuRow.uuid, col(ShareRow.during), col(ShareRow.id))
    )
    if owner_id is not None:
        query = query.where(ShareRow.owner_id == owner_id)
    if gpu_ids is not None:
        query = query.where(col(ShareRow.gpu_id).in_(gpu_ids))
    return [Held(row.id or 0, slug, uuid, host, row.parts, row.during) for row, slug, uuid, host in session.exec(query)]


def _shares(session: Session, gpu_ids: Iterable[int]) -> Mapping[int, list[Share]]:
    """{GPU: its shares, in the order of their rows}."""
    rows = session.exec(
        select(ShareRow)
        .where(col(ShareRow.cancelled_at).is_(None), col(ShareRow.gpu_id).in_(list(gpu_ids)))
        .order_by(col(ShareRow.id))
    )
    found: dict[int, list[Share]] = defaultdict(list)
    for row in rows:
        found[row.gpu_id].append(Share(row.owner_id, row.gpu_id, row.parts, row.during.seconds))
    return found


def ownership(session: Session, gpu_ids: Iterable[int]) -> Ownership:
    """Who owns what of some GPUs, and everybody's fees."""
    by_owner: dict[int, list[Fee]] = defaultdict(list)
    for fee in fees(session):
        by_owner[fee.owner_id].append(fee)
    return Ownership(_shares(session, gpu_ids), by_owner)


def add_fee(session: Session, owner_id: int, basis_points: int, since: datetime, now: datetime) -> None:
    if since.microsecond:
        raise Invalid("a fee begins at a whole second")
    session.add(FeeRow(owner_id=owner_id, basis_points=basis_points, since=since, created_at=now))
    session.flush()


def fees(session: Session, owner_id: int | None = None) -> list[Fee]:
    """Fees in the order in which they were set."""
    query = select(FeeRow).order_by(col(FeeRow.id))
    if owner_id is not None:
        query = query.where(FeeRow.owner_id == owner_id)
    return [Fee(row.owner_id, row.basis_points, epoch_seconds(row.since)) for row in session.exec(query)]

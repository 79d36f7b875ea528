"""A notice, and when a delivery is tried again. Pure. The body is that of Standard Webhooks: type, timestamp, data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from billing.core.period import rfc3339


class NoticeType(StrEnum):
    """What is told. Receivers choose among these."""

    INVOICE_ISSUED = "invoice.issued"
    INVOICE_REMINDER = "invoice.reminder"
    INVOICE_OVERDUE = "invoice.overdue"
    INVOICE_PAID = "invoice.paid"
    INVOICE_REOPENED = "invoice.reopened"
    INVOICE_VOIDED = "invoice.voided"
    CREDIT_NOTE_ISSUED = "credit_note.issued"
    PAYMENT_SEEN = "payment.seen"
    TOPUP_SEEN = "topup.seen"
    TOPUP_CREDITED = "topup.credited"
    CREDIT_LOW = "credit.low"
    CREDIT_EXHAUSTED = "credit.exhausted"
    TENANT_SUSPENDED = "tenant.suspended"
    TENANT_RESUMED = "tenant.resumed"
    LOGIN_REQUESTED = "login.requested"


MAIL_ONLY: Final = frozenset({NoticeType.LOGIN_REQUESTED})
"""What goes to whoever asked for it, by mail, and to nobody else."""

TO_TENANTS: Final = frozenset(NoticeType) - {NoticeType.INVOICE_VOIDED} - MAIL_ONLY
"""What a tenant may be told by mail. That an invoice is void, its credit note says."""


class DeliveryState(StrEnum):
    """`dead`: every attempt failed, or the receiver said that it is gone. A person may replay it."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


PAUSES: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)  # fmt: skip
"""Between the attempts: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. After the tenth attempt it is dead."""
ATTEMPTS: Final = len(PAUSES) + 1


@dataclass(frozen=True, slots=True)
class Notice:
    """`subject` is what it is about, for people: an invoice's number, a tenant. With `once` it is told once and never again."""

    type: NoticeType
    subject: str
    data: Mapping[str, Any]
    tenant_id: int | None = None
    once: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt. `state` is None when it is to be tried again; `reached` is False when nobody was there."""

    state: DeliveryState | None
    said: str
    reached: bool = True


def content(notice: Notice, at: datetime) -> bytes:
    """The body: sorted keys, no blanks. Amounts in `data` are text; a float cannot be written."""
    body = {"type": notice.type.value, "timestamp": rfc3339(at), "data": dict(notice.data)}
    _require_no_float(body)
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _require_no_float(value: Any) -> None:
    assert not isinstance(value, float), "money and time are never floats"
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_no_float(part)


def next_attempt(attempts: int, now: datetime) -> datetime | None:
    """When to try again after so many attempts; None when that was the last one."""
    return None if attempts >= ATTEMPTS else now + PAUSES[attempts - 1]

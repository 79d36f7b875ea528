"""The life of an invoice."""

from enum import StrEnum
from typing import Final

from billing.core.machine import Machine


class InvoiceStatus(StrEnum):
    """Overdue is not a status: it is derived from `due_at` and what remains."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class InvoiceEvent(StrEnum):
    ISSUE = "issue"
    ISSUE_SETTLED = "issue_settled"
    SETTLE = "settle"
    REOPEN = "reopen"
    VOID = "void"
    GIVE_UP = "give_up"


S, E = InvoiceStatus, InvoiceEvent

INVOICE: Final = Machine(
    "invoice",
    S.DRAFT,
    {
        (S.DRAFT, E.ISSUE): S.OPEN,
        (S.DRAFT, E.ISSUE_SETTLED): S.PAID,  # nothing is due: the total is zero, or credit covers it
        (S.OPEN, E.SETTLE): S.PAID,
        (S.OPEN, E.VOID): S.VOID,
        (S.OPEN, E.GIVE_UP): S.UNCOLLECTIBLE,
        (S.PAID, E.REOPEN): S.OPEN,  # a reorganisation took the money back
        (S.UNCOLLECTIBLE, E.SETTLE): S.PAID,
        (S.UNCOLLECTIBLE, E.VOID): S.VOID,
    },
)

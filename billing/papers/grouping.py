"""The lines of an invoice as people read them: a reseller's by end customer, each with its subtotal. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from billing.core.money import decimal_text
from billing.invoicing.document import AnyLine, InvoiceDocument
from billing.invoicing.parts import units_of


@dataclass(frozen=True, slots=True)
class Group:
    """`title` is the end customer, and `subtotal` its amount; both are empty where there is one group only, the tenant's own."""

    title: str
    lines: list[AnyLine]
    subtotal: str


def groups(invoice: InvoiceDocument) -> list[Group]:
    by_tenant: dict[str, list[AnyLine]] = defaultdict(list)
    for line in invoice.lines:
        by_tenant[line.tenant].append(line)
    if set(by_tenant) == {invoice.tenant.id}:
        return [Group("", list(invoice.lines), "")]
    currency = invoice.currency.asset
    return [
        Group(tenant, lines, decimal_text(sum(units_of(line.amount, currency) for line in lines), currency.exponent))
        for tenant, lines in by_tenant.items()
    ]

"""An owner's statement as it is printed: a pure function. Every sum on it can be added up from what stands above."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from billing.core.money import decimal_text
from billing.core.period import Span, at_second, rfc3339
from billing.invoicing.parts import Party
from billing.owners.share import Fee, fee_at
from billing.owners.statement import Part
from billing.papers import paper, words
from billing.reports.owners import OwnerMonth, Statement

_NOTES: Final = (
    "Collected is what users of a GPU paid for it, without taxes, as far as the GPU is this owner's: not what they were"
    " invoiced. The operator's fee is rounded once for each GPU and invoice, half to even. Everything stands in the month in"
    " which it was booked; what is taken back later stands there with a minus.",
)


def content(month: OwnerMonth, issuer: Party) -> dict[str, Any]:
    """What the layout is given; only text, lists and numbers."""
    owner, at, span = month.owner, month.made_at, month.period
    facts = [
        ["Owner", owner.slug],
        ["Month", words.period(rfc3339(span.start), rfc3339(span.end))],
        ["Made", words.moment(at)],
        ["Operator's fee", _fees(month.fees, span)],
        ["State", "Provisional: the month is not over yet"] if at < span.end else [],
    ]
    sections = [_section(one, month) for one in month.currencies]
    return {
        "title": "Owner statement",
        "number": f"{owner.slug} {span.start:%Y-%m}",
        "date": [at.year, at.month, at.day, at.hour, at.minute, at.second],
        "issuer": paper.party(issuer),
        "to": "For",
        "owner": {
            "name": owner.legal_name or owner.name,
            "lines": [one for one in (owner.country, owner.email) if one],
        },
        "facts": [fact for fact in facts if fact],
        "headline": " · ".join(one["headline"] for one in sections) or "Nothing was earned, paid out or owed",
        "file": f"owner-statement-{owner.slug}-{span.start:%Y-%m}.csv",
        "sections": sections,
        "notes": list(_NOTES),
    }


def _fees(fees: Sequence[Fee], period: Span) -> str:
    """The fees that held in a month: `2.5 %`; another one with its beginning."""
    first, end = period.seconds
    changes = sorted({fee.since for fee in fees if first < fee.since < end})
    later = [f"{_fee(fees, since)} from {words.moment(at_second(since))} on" for since in changes]
    return ", ".join([_fee(fees, first), *later])


def _fee(fees: Sequence[Fee], at: int) -> str:
    return words.tax_rate(decimal_text(fee_at(fees, at), 4))


def _section(one: Statement, month: OwnerMonth) -> dict[str, Any]:
    code, total, span = one.currency, one.total, month.period
    last = min(span.end - timedelta(days=1), month.made_at)

    def plain(units: int) -> str:
        return words.signed(one.text(units))

    def money(units: int) -> str:
        return f"{plain(units)} {code}"

    def cells(part: Part) -> list[str]:
        return [plain(part.collected), plain(-part.fee), plain(part.net)]

    hosts = [(host, list(found)) for host, found in groupby(one.gpus, lambda gpu: gpu.host)]
    return {
        "headline": _headline(one, words.day(last)),
        "currency": code,
        "head": ["GPU", f"Collected ({code})", "Fee", f"Net ({code})"],
        "groups": [
            {
                "title": host or "Host not known",
                "lines": [[gpu.uuid, *cells(gpu.part)] for gpu in found],
                "subtotal": cells(sum((gpu.part for gpu in found), Part())) if len(hosts) > 1 else [],
            }
            for host, found in hosts
        ],
        "total": ["Total", *cells(total)],
        "payouts": [
            {
                "day": words.brief_day(paid.booked_on),
                "tx": words.fours(paid.tx_hash) if paid.tx_hash.startswith("0x") else ["", paid.tx_hash],
                "amount": plain(paid.units),
                "note": "Taken back by its chain" if paid.units < 0 else "",
            }
            for paid in one.payouts
        ],
        "paid": plain(one.paid_out),
        "sums": [
            [f"Owed before {words.day(span.start)}", plain(one.before)],
            ["Collected", plain(total.collected)],
            ["Operator's fee", plain(-total.fee)],
            ["Paid out", plain(-one.paid_out)],
        ],
        "sum": [f"Owed on {words.day(last)}", money(one.owed)],
        "note": f"In all, until {words.day(last)}: earned {money(one.owed + one.paid_so_far)},"
        f" paid out so far {money(one.paid_so_far)}, still owed {money(one.owed)}.",
    }


def _headline(one: Statement, day: str) -> str:
    if one.owed == 0:
        return f"No {one.currency} is owed on {day}"
    if one.owed > 0:
        return f"{words.amount(one.text(one.owed))} {one.currency} still owed on {day}"
    return f"{words.amount(one.text(-one.owed))} {one.currency} more than earned was paid until {day}"

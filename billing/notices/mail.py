"""Sends one notice to a tenant as an e-mail: plain text, and nothing that the notice does not say."""

import json
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final, Literal

from billing.notices.notice import Answer, DeliveryState, NoticeType
from billing.notices.store import Claimed

TIMEOUT_SECONDS: Final = 10

LinkFor = Callable[[int], str | None]
"""The link that somebody asked for, made as the mail goes out; None when it is too late. Access knows; bootstrap wires it."""

_SUBJECTS: Final[dict[NoticeType, str]] = {
    NoticeType.INVOICE_ISSUED: "Invoice {number}: {amount_due} {currency}",
    NoticeType.INVOICE_REMINDER: "Reminder: invoice {number} is due on {due_day}",
    NoticeType.INVOICE_OVERDUE: "Overdue: invoice {number} was due on {due_day}",
    NoticeType.INVOICE_PAID: "Paid: invoice {number}",
    NoticeType.INVOICE_REOPENED: "Invoice {number} is open again",
    NoticeType.CREDIT_NOTE_ISSUED: "Credit note {number} for invoice {invoice}",
    NoticeType.PAYMENT_SEEN: "Payment seen for invoice {invoice}",
    NoticeType.TOPUP_SEEN: "Top-up seen: {amount} {token}",
    NoticeType.TOPUP_CREDITED: "Credited: {credited} {currency}",
    NoticeType.CREDIT_LOW: "Your credit is low: {available} {currency}",
    NoticeType.CREDIT_EXHAUSTED: "Your credit is used up",
    NoticeType.TENANT_SUSPENDED: "Your account {tenant} is suspended",
    NoticeType.TENANT_RESUMED: "Your account {tenant} is active again",
    NoticeType.LOGIN_REQUESTED: "Your link to sign in",
}
_TEXTS: Final[dict[NoticeType, str]] = {
    NoticeType.INVOICE_ISSUED: (
        "Invoice {number} over {total} {currency} was issued. {amount_due} {currency} are due on {due_day}.\n\n"
        "The invoice, its payment address and how to check that both are genuine:\n{pay_url}\n\n"
        "Pay only to the address on that page. We never send another one by e-mail."
    ),
    NoticeType.INVOICE_REMINDER: "{remaining} {currency} of invoice {number} are due on {due_day}.\n\n{pay_url}",
    NoticeType.INVOICE_OVERDUE: (
        "{remaining} {currency} of invoice {number} were due on {due_day} and have not come in.\n\n{pay_url}\n\n"
        "If you have paid, answer with the transaction's hash."
    ),
    NoticeType.INVOICE_PAID: "Nothing remains to be paid on invoice {number}. Thank you.",
    NoticeType.INVOICE_REOPENED: (
        "A payment of invoice {number} left the blockchain (a reorganisation), so the invoice is open again.\n"
        "Most such payments come back by themselves within minutes. Please look before you pay again."
    ),
    NoticeType.CREDIT_NOTE_ISSUED: (
        "Credit note {number} over {total} {currency} for invoice {invoice}: {reason}\n\n{effect_told}"
    ),
    NoticeType.PAYMENT_SEEN: (
        "A payment of {amount} {token} for invoice {invoice} was seen on chain {chain_id} and waits for confirmations.\n\n"
        "Transaction: {tx_hash}"
    ),
    NoticeType.TOPUP_SEEN: (
        "A top-up of {amount} {token} was seen on chain {chain_id} and waits for confirmations.\n\nTransaction: {tx_hash}"
    ),
    NoticeType.TOPUP_CREDITED: (
        "Your top-up of {amount} {token} is final: {credited} {currency} were added to your credit.\n\nTransaction: {tx_hash}"
    ),
    NoticeType.CREDIT_LOW: (
        "{available} {currency} of your credit are left once what you used so far is invoiced.{lasts}\n\n"
        "Please top up at your deposit address."
    ),
    NoticeType.CREDIT_EXHAUSTED: (
        "What you have used so far is more than your credit: {available} {currency} are left.{stops}\n\n"
        "Please top up at your deposit address."
    ),
    NoticeType.TENANT_SUSPENDED: "{why}{overdue_list}",
    NoticeType.TENANT_RESUMED: "Your account is active again. Thank you.",
    NoticeType.LOGIN_REQUESTED: (
        "Somebody, most likely you, asked to sign in with this address. This link works once, for a few minutes:\n\n{link}\n\n"
        "If it was not you, nothing happens: leave the link alone."
    ),
}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in. `security` is tls (from the first byte), starttls, or none (a relay on this host)."""

    host: str
    port: int
    security: Literal["tls", "starttls", "none"]
    username: str
    password: str


class MailReceiver:
    """The tenant's e-mail address, through one server."""

    name: Final = "mail"

    def __init__(self, server: MailServer, sender: str, issuer: str, link_for: LinkFor) -> None:
        self._server, self._sender, self._issuer, self._link_for = server, sender, issuer, link_for

    def send(self, one: Claimed, now: datetime) -> Answer:
        """Never raises for what the server does. A refusal that is for good ends it; anything else is tried again."""
        link = ""
        try:
            with self._connected() as smtp:
                if (
                    ask_id := _asked(one)
                ) is not None:  # made when the server is there, so that no link is made in vain
                    link = self._link_for(ask_id) or ""
                    if not link:
                        return Answer(DeliveryState.DEAD, "the link was asked for too long ago")
                smtp.send_message(compose(one, now, sender=self._sender, issuer=self._issuer, link=link))
        except smtplib.SMTPRecipientsRefused as error:
            code = max((code for code, _ in error.recipients.values()), default=0)
            return Answer(DeliveryState.DEAD if code >= 500 else None, f"the address was refused with {code}")
        except smtplib.SMTPResponseException as error:
            return Answer(None, f"answered {error.smtp_code}")
        except (OSError, smtplib.SMTPException, ssl.SSLError) as error:
            return Answer(None, f"cannot be reached: {type(error).__name__}", reached=False)
        return Answer(DeliveryState.DELIVERED, "handed in")

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
        try:
            if server.security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if server.username:
                smtp.login(server.username, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def close(self) -> None:
        """Nothing is kept open between two mails."""


def _asked(one: Claimed) -> int | None:
    body = json.loads(one.content)
    return int(body["data"]["ask"]) if body["type"] == NoticeType.LOGIN_REQUESTED else None


def compose(one: Claimed, now: datetime, *, sender: str, issuer: str, link: str = "") -> EmailMessage:
    """The mail that a notice is. The message id is the notice's: who gets it twice sees that it is the same."""
    body = json.loads(one.content)
    kind, values = NoticeType(body["type"]), {**_values(body["data"]), "link": link}
    mail = EmailMessage()
    mail["Subject"] = " ".join(_SUBJECTS[kind].format_map(values).split())
    mail["From"], mail["To"] = sender, one.email
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{one.message_id}@{sender.rpartition('@')[2].strip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_TEXTS[kind].format_map(values).rstrip() + f"\n\n{issuer}\n")
    return mail


def _values(data: dict[str, Any]) -> dict[str, Any]:
    overdue = [
        f"{one['number']}: {one['remaining']} {one['currency']}, due {one['due_at'][:10]}"
        for one in data.get("overdue", ())
    ]
    days, partial = data.get("days_left"), data.get("effect") == "partial"
    return {
        **data,
        "due_day": data.get("due_at", "")[:10],
        "effect_told": "The invoice stands; this much less is asked for."
        if partial
        else "Please do not pay the invoice any more.",
        "overdue_list": "\n".join(overdue),
        "why": "These invoices have been overdue for too long:\n\n" if overdue else "Your credit is used up.",
        "lasts": "" if days is None else f" At the present rate they last for {days} days.",
        "stops": " Your account is suspended until there is credit again." if data.get("suspends") else "",
    }

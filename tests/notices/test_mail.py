"""Mail to tenants, through a real server: what they are told, to whom, and what becomes of a refusal."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from billing.bootstrap import unfenced
from billing.core.clock import ManualClock
from billing.db.engine import Database
from billing.notices import store
from billing.notices.deliverer import Deliverer
from billing.notices.mail import MailReceiver, MailServer, compose
from billing.notices.notice import TO_TENANTS, Notice, NoticeType, content
from billing.notices.store import Claimed, Wants
from billing.tenants.registrar import Registrar
from tests.factories import at, tenant
from tests.parts import free_port

SENDER = "Example GPU <billing@gpu.example>"
DATA: dict[str, Any] = {
    "number": "INV-000001", "invoice": "INV-000001", "tenant": "acme", "currency": "USD", "total": "200.00",
    "amount_due": "150.00", "remaining": "50.00", "due_at": "2026-11-15T00:00:00Z", "days": 3, "reason": "wrong {tenant}",
    "pay_url": "https://pay.example/pay/abc", "amount": "5.000000", "token": "USDC", "chain_id": 8453, "tx_hash": "0x12",
    "credited": "5.00", "available": "-1.00", "days_left": 2, "suspends": True,
    "overdue": [{"number": "INV-000001", "remaining": "50.00", "currency": "USD", "due_at": "2026-11-15T00:00:00Z"}],
}  # fmt: skip


class Post:
    """The mail that was handed in. `refusal` is what the server says to every recipient instead of taking it."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.refusal = ""

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    handler, port = Post(), free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def receiver(port: int) -> MailReceiver:
    return MailReceiver(
        MailServer("127.0.0.1", port, "none", "", ""),
        SENDER,
        "Example GPU Pty Ltd",
        {7: "https://pay.example/login/x"}.get,
    )


def told(database: Database, clock: ManualClock, email: str) -> None:
    registrar = Registrar(database, clock, lambda *_: None)
    acme = registrar.add(tenant("acme", email=email), [], actor="test")
    with database.transaction() as session:
        store.tell(session, Notice(NoticeType.INVOICE_ISSUED, "INV-000001", DATA, acme.id), clock.now())
        store.tell(session, Notice(NoticeType.INVOICE_VOIDED, "INV-000001", DATA, acme.id), clock.now())


def mailing(database: Database, clock: ManualClock, port: int) -> Deliverer:
    wants = Wants(frozenset(kind.value for kind in TO_TENANTS), by_mail=True)
    return Deliverer(database, clock, [receiver(port)], {"mail": wants}, unfenced)


def test_a_tenant_is_sent_its_invoice(database: Database, post: tuple[Post, int]) -> None:
    handler, port = post
    clock = ManualClock(datetime.now(UTC))
    told(database, clock, "pay@acme.example")
    assert mailing(database, clock, port).tick().delivered == 1
    (letter,) = handler.letters
    assert (letter["to"], letter["from"]) == ("pay@acme.example", SENDER)
    assert letter["subject"] == "Invoice INV-000001: 150.00 USD" and letter["auto-submitted"] == "auto-generated"
    text = letter.get_content().replace("\r\n", "\n")
    assert "https://pay.example/pay/abc" in text and "150.00 USD are due on 2026-11-15" in text
    assert text.endswith("Example GPU Pty Ltd\n")


def test_who_has_no_address_is_sent_nothing(database: Database, post: tuple[Post, int]) -> None:
    clock = ManualClock(datetime.now(UTC))
    told(database, clock, "")
    assert mailing(database, clock, post[1]).tick().delivered == 0 and not post[0].letters
    with database.transaction() as session:
        assert {row["receiver"] for row in store.listed(session)} == {None}


@pytest.mark.parametrize(
    ("refusal", "state", "answer"),
    [
        ("550 no such user", "dead", "the address was refused with 550"),
        ("451 come back later", "waiting", "the address was refused with 451"),
    ],
)
def test_a_refusal_for_good_ends_it_and_another_is_tried_again(
    database: Database, post: tuple[Post, int], refusal: str, state: str, answer: str
) -> None:
    handler, port = post
    handler.refusal = refusal
    clock = ManualClock(datetime.now(UTC))
    told(database, clock, "pay@acme.example")
    mailing(database, clock, port).tick()
    with database.transaction() as session:
        (row,) = [row for row in store.listed(session) if row["receiver"]]
    assert (row["state"], row["answer"]) == (state, answer) and not handler.letters


def test_no_server_is_tried_again(database: Database) -> None:
    clock = ManualClock(datetime.now(UTC))
    told(database, clock, "pay@acme.example")
    assert mailing(database, clock, free_port()).tick().failed == 1


@pytest.mark.parametrize("kind", sorted(TO_TENANTS))
def test_every_type_has_words_and_no_header_can_be_slipped_in(kind: NoticeType) -> None:
    """A reason or a number is not ours: line breaks in it stay in the text, braces mean nothing."""
    data = {**DATA, "number": "INV-1\r\nBcc: thief@example.com", "invoice": "INV-1\nBcc: x@example.com"}
    one = Claimed(1, "msg_12", content(Notice(kind, "INV-1", data), at(0)), 1, "pay@acme.example")
    mail = compose(one, at(0), sender=SENDER, issuer="Example GPU")
    read = message_from_bytes(mail.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert read["bcc"] is None and read["message-id"] == "<msg_12@gpu.example>"
    assert "{" not in read.get_content().replace("wrong {tenant}", "")
    assert json.loads(one.content)["type"] == kind.value


def test_who_pays_beforehand_is_told_that_its_credit_is_used_up() -> None:
    suspended = {"tenant": "acme", "standing": "suspended", "overdue": [], "currency": "USD", "available": "0.00"}
    one = Claimed(
        1, "msg_1", content(Notice(NoticeType.TENANT_SUSPENDED, "acme", suspended), at(0)), 1, "pay@acme.example"
    )
    assert "Your credit is used up." in compose(one, at(0), sender=SENDER, issuer="Example GPU").get_content()


@pytest.mark.parametrize(("ask", "delivered"), [(7, 1), (8, 0)])
def test_whoever_asks_to_sign_in_gets_the_link_that_is_made_then_and_no_old_one(
    database: Database, post: tuple[Post, int], ask: int, delivered: int
) -> None:
    handler, port = post
    clock = ManualClock(datetime.now(UTC))
    with database.transaction() as session:
        store.tell(
            session, Notice(NoticeType.LOGIN_REQUESTED, "Ada's sign-in", {"ask": ask, "to": "ada@x.example"}), at(0)
        )
    done = mailing(database, clock, port).tick()
    assert (done.delivered, done.dead, len(handler.letters)) == (delivered, 1 - delivered, delivered)
    for letter in handler.letters:
        assert letter["to"] == "ada@x.example" and "https://pay.example/login/x" in letter.get_content()

"""The finance desk: every figure leads to what it is made of, and only those who may decide do."""

import re
from html import unescape

from billing.invoicing.store import listed
from billing.reconciliation import store as reconciliation
from billing.tenants.keys import KeyRole
from tests.web.browser import Browser, browser
from tests.web.scene import Scene
from tests.world import BOOK, PERIOD

BAD = "<script>alert(1)</script>"
DOLLAR = 10**6


def links(page: str, prefix: str) -> list[str]:
    return [unescape(one) for one in re.findall(r'href="([^"]+)"', page) if one.startswith(prefix)]


def desk(scene: Scene, role: KeyRole = KeyRole.FINANCE, name: str = "Ada") -> Browser:
    return browser(scene.app, role, name=name)


def open_questions(scene: Scene) -> list[int]:
    with scene.app.database.transaction() as session:
        return [row["id"] for row in reconciliation.exceptions(session)]


def void_and_paid(scene: Scene, *slugs: str) -> int:
    """An exception: money for an invoice that is void, while the others stand. Its id."""
    first, *_ = scene.invoiced(*slugs)
    scene.app.issuer.void(first.number, reason="wrong", actor="test")
    scene.pay(first, 20 * DOLLAR)
    scene.mine(12)
    (found,) = open_questions(scene)
    return found


def test_from_the_overview_one_gets_to_the_transaction_and_to_the_usage_intervals(scene: Scene) -> None:
    paid, _ = scene.invoiced("acme", "beta", name=BAD)
    tx_hash = scene.pay(paid, 20 * DOLLAR)
    scene.mine(12)
    one = desk(scene, KeyRole.AUDITOR)
    first = one.text("/finance")
    (sums,) = set(links(first, "/finance/payments?"))
    (payment,) = set(links(one.text(sums), "/finance/payments/"))
    page = one.text(payment)
    assert tx_hash in page
    entry = links(page, "/finance/entries/")[0]
    assert payment in one.text(entry)
    number = links(page, "/finance/invoices/")[0]
    assert number.endswith(paid.number)
    page = one.text(number)
    assert tx_hash in page and BAD not in page and "&lt;script&gt;" in page
    usage = one.text(links(page, f"{number}/lines/")[0])
    assert "GPU-acme" in usage and "36000" in usage and "lease-acme" in usage and "1 Oct 2026, 00:00 UTC" in usage
    bucket = links(first, "/finance/invoices?age=")[-1]
    assert one.get(bucket).status_code == 200
    assert "INV" in one.text("/finance/invoices?age=not_due")


def test_every_link_of_the_desk_leads_somewhere(scene: Scene) -> None:
    void_and_paid(scene, "acme", "beta")
    one = desk(scene)
    seen: set[str] = set()
    ahead = ["/finance"]
    while ahead:
        path = ahead.pop()
        seen.add(path)
        answer = one.get(path)
        assert answer.status_code == 200, (path, answer.text)
        if "text/html" in answer.headers["Content-Type"]:
            found = [link.partition("#")[0] for link in links(answer.text, "/finance")]
            ahead += [link for link in dict.fromkeys(found) if link not in seen and link not in ahead]
            assert "<form" not in answer.text or "onclick" not in answer.text
        ahead = [link for link in ahead if "/pdf" not in link and "format=" not in link]
    assert {"/finance/books", "/finance/close", "/finance/reports"} <= seen and len(seen) > 25


def test_an_auditor_reads_and_an_operator_may_not_decide_what_is_billed(scene: Scene) -> None:
    question = void_and_paid(scene, "acme", "beta")
    with scene.app.database.transaction() as session:
        (row,) = reconciliation.exceptions(session)
    auditor, operator = desk(scene, KeyRole.AUDITOR), desk(scene, KeyRole.OPERATOR)
    for path in (f"/finance/invoices/{row['invoice']}", f"/finance/exceptions/{question}", "/finance/close"):
        page = auditor.text(path)
        assert 'method="post" action="/finance' not in page
    fields = {"reason": "x", "how": "acknowledge", "sure": "yes", "period": "2026-10", "once": "a"}
    for path in (
        f"/finance/exceptions/{question}/resolve", "/finance/close", f"/finance/invoices/{row['invoice']}/void",
        f"/finance/invoices/{row['invoice']}/credit", f"/finance/invoices/{row['invoice']}/write-off",
    ):  # fmt: skip
        assert auditor.post(path, fields).status_code == 403
        if "exceptions" not in path:
            operator.get("/finance")
            assert operator.post(path, fields).status_code == 403
    assert open_questions(scene) == [question]
    assert browser(scene.app, KeyRole.TENANT, tenant="acme").get("/finance").status_code == 403


def test_one_keystroke_takes_the_likeliest_and_the_second_person_is_told(scene: Scene) -> None:
    question = void_and_paid(scene, "acme", "beta")
    ada, bob = desk(scene), desk(scene, KeyRole.OPERATOR, "Bob")
    path = f"/finance/exceptions/{question}"
    for one in (ada, bob):
        page = one.text(path)
        assert page.count(" autofocus") == 1 and 'accesskey="1"' in page
    form = page[page.index("<ol") : page.index("</form>", page.index("<ol"))]
    sent = dict(re.findall(r'name="(how|tenant|together|reason|invoice|amount)" value="([^"]*)"', form))
    assert ada.post(f"{path}/resolve", sent).status_code == 303
    assert f"Exception {question}" in ada.text("/finance/exceptions")
    answer = bob.post(f"{path}/resolve", sent)
    assert answer.status_code == 409 and "Ada" in answer.text and unescape(sent["reason"]) in unescape(answer.text)
    assert open_questions(scene) == []
    assert "by web:Ada" in bob.text(path)


def test_an_invoice_is_credited_written_off_and_voided_with_a_reason(scene: Scene) -> None:
    first, second, third = scene.invoiced("acme", "beta", "gamma")
    one = desk(scene)
    path = f"/finance/invoices/{first.number}"
    one.get(path)
    assert one.post(f"{path}/credit", {"line": "1", "amount": "5.00"}).status_code == 400
    assert one.post(f"{path}/credit", {"line": "1", "amount": "5.00", "reason": BAD}).status_code == 303
    page = one.text(path)
    assert "Credit note" in page and BAD not in page and scene.again(first).noted == 500
    path = f"/finance/invoices/{second.number}"
    one.get(path)
    assert one.post(f"{path}/write-off", {"reason": "gone"}).status_code == 400
    assert one.post(f"{path}/write-off", {"reason": "gone", "sure": "yes"}).status_code == 303
    assert "uncollectible" in one.text(path)
    path = f"/finance/invoices/{third.number}"
    one.get(path)
    assert one.post(f"{path}/void", {"reason": "wrong", "sure": "yes"}).status_code == 303
    assert "takes it back" in one.text(path)
    assert one.post(f"{path}/void", {"reason": "wrong", "sure": "yes"}).status_code == 409
    assert one.post(f"{path}/void", {"reason": "wrong", "sure": "yes", "form_token": "x"}).status_code == 403


def test_a_month_is_closed_when_nothing_is_missing(scene: Scene) -> None:
    scene.invoiced("acme")
    one = desk(scene)
    page = one.text("/finance/close?period=2026-10")
    assert "missing" in page and "Close 2026-10" not in page
    assert one.post("/finance/close", {"period": "2026-10", "sure": "yes"}).status_code == 409
    scene.over(PERIOD)
    one = desk(scene)  # the session has been idle for days
    page = one.text("/finance/close?period=2026-10")
    assert "missing" not in page and "Close 2026-10" in page
    assert one.post("/finance/close", {"period": "2026-10"}).status_code == 400
    assert (
        one.post("/finance/close", {"period": "2026-10", "sure": "yes"}).headers["Location"] == "/finance/close/2026-10"
    )
    page = one.text("/finance/close/2026-10")
    assert "frozen" in page
    file = next(link for link in links(page, "/finance/close/2026-10/files/") if link.endswith("journal.csv"))
    assert one.get(file).text.startswith("entry,")
    assert one.get(file).content == one.get("/finance/reports/files/journal?period=2026-10").content


BAD_PATHS = [
    ("/finance/invoices/INV-9", 404), ("/finance/payments/0", 404), ("/finance/payments/99999999999999999999", 404),
    ("/finance/payments/x", 422), ("/finance/entries/77", 404), ("/finance/exceptions/77", 404), ("/finance/exceptions/0", 422),
    ("/finance/accounts/nothing", 400), ("/finance/journal/2026-13-01", 400), ("/finance/payments?period=2026-13", 400),
    ("/finance/invoices?least=9&most=1", 400), ("/finance/invoices?age=old", 400), ("/finance/invoices?odd=1", 422),
    ("/finance/invoices?status=odd", 400), ("/finance/invoices?cursor=x", 400), ("/finance/close?period=x", 400),
    ("/finance/close/2026-09", 404), ("/finance/reports/statement?tenant=nobody", 404),
    ("/finance/reports/files/usage?period=2026-10&format=beancount", 400), ("/finance/reports/files/odd?period=2026-10", 422),
    ("/finance/invoices?least=99999999999999999999999999999", 400),
]  # fmt: skip


def test_bad_input_gives_a_page_that_says_so(scene: Scene) -> None:
    scene.app.rater.apply(BOOK, actor="test")
    one = desk(scene)
    for path, status in BAD_PATHS:
        answer = one.get(path)
        assert answer.status_code == status and "<h1>" in answer.text, (path, answer.text)


def test_money_is_split_over_invoices_and_a_short_invoice_is_written_off(scene: Scene) -> None:
    question = void_and_paid(scene, "acme", "beta", "gamma")
    one = desk(scene)
    with scene.app.database.transaction() as session:
        rest = [invoice for invoice in listed(session) if invoice.remaining]
    path = f"/finance/exceptions/{question}"
    one.get(path)
    split = {"how": "apply", "reason": BAD, "tenant": "beta", "invoice": [rest[0].number, ""], "amount": ["5.00", ""]}
    assert one.post(f"{path}/resolve", {**split, "amount": ["x", ""]}).status_code == 400
    assert one.post(f"{path}/resolve", {**split, "together": "x"}).status_code == 400
    assert one.post(f"{path}/resolve", {**split, "how": "odd"}).status_code == 400
    assert open_questions(scene) == [question]
    assert one.post(f"{path}/resolve", split).status_code == 303
    assert scene.again(rest[0]).remaining == 1500
    assert BAD not in one.text(path)
    scene.pay(rest[1], 19 * DOLLAR)
    scene.mine(12)
    asked = reconciliation.Question("underpaid", rest[1].number, "1.00 USD is missing", "", invoice_id=rest[1].id)
    with scene.app.database.transaction() as session:
        reconciliation.ask(session, asked, scene.clock.now())
    short = open_questions(scene)[-1]
    operator = desk(scene, KeyRole.OPERATOR)
    operator.get(f"/finance/exceptions/{short}")
    deed = {"how": "write_off", "reason": "small"}
    assert operator.post(f"/finance/exceptions/{short}/resolve", deed).status_code == 400
    one.get(f"/finance/exceptions/{short}")
    assert one.post(f"/finance/exceptions/{short}/resolve", deed).status_code == 303
    assert scene.again(rest[1]).status.value == "uncollectible" and short not in open_questions(scene)
